import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { useTitle } from '../router.js';
import { AlertIcon, CheckIcon, MailIcon } from '../ui/icons.js';

const ICONS = { good: CheckIcon, bad: AlertIcon, mail: MailIcon };

interface OutcomeProps {
  kind: keyof typeof ICONS;
  title: string;
  children: ComponentChildren;
}

/** What came of a form, in its place. The focus moves there, so that it is read out. */
export function Outcome({ kind, title, children }: OutcomeProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useTitle(title);
  useEffect(() => heading.current?.focus(), []);
  const Icon = ICONS[kind];
  return (
    <div class="narrow">
      <div class="card stack">
        <div>
          <div class={`emblem ${kind}`}>
            <Icon />
          </div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
        </div>
        {children}
      </div>
    </div>
  );
}
