import type { ComponentChildren } from 'preact';

interface SectionProps {
  id: string;
  title: string;
  lead?: string;
  /** At the end of the heading. */
  action?: ComponentChildren;
  danger?: boolean;
  children?: ComponentChildren;
}

/** A card with a heading. */
export function Section({ id, title, lead, action, danger, children }: SectionProps) {
  return (
    <section class={`card${danger ? ' danger-zone' : ''}`} id={id} aria-labelledby={`${id}-title`}>
      <div class={`card-head${children ? '' : ' alone'}`}>
        <div class="card-title">
          <h2 id={`${id}-title`}>{title}</h2>
          {lead && <p>{lead}</p>}
        </div>
        {action}
      </div>
      {children}
    </section>
  );
}

const LINES = ['one', 'two', 'three', 'four', 'five', 'six'];

/** Where a list will be. */
export function Bones({ lines }: { lines: number }) {
  return (
    <div class="bones" aria-hidden="true">
      {LINES.slice(0, lines).map((line) => (
        <div class="bone" key={line} />
      ))}
    </div>
  );
}
