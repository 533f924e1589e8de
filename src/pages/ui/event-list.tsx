import type { ComponentChildren } from 'preact';
import { describeDevice } from '../../lib/device.js';
import { formatTime, useTexts } from '../locale.js';
import { endReasonNames, eventNames } from '../texts/events.js';
import { AlertIcon, CheckIcon, KeyIcon, MailIcon, PersonIcon, PhoneIcon, SignOutIcon } from './icons.js';

export interface ShownEvent {
  id: number;
  type: string;
  at: string;
  reason: string | null;
  ip: string | null;
  user_agent: string | null;
}

interface EventListProps<Shown extends ShownEvent> {
  events: readonly Shown[];
  /** More facts about one. */
  facts?: (event: Shown) => ComponentChildren;
}

/** Security events, one below the other. */
export function EventList<Shown extends ShownEvent>({ events, facts }: EventListProps<Shown>) {
  const names = useTexts(eventNames);
  const reasons = useTexts(endReasonNames);
  return (
    <ul class="list">
      {events.map((event) => {
        const { Icon, looks } = lookOf(event.type);
        return (
          <li key={event.id}>
            <div class="item">
              <div class={`item-icon ${looks}`}>
                <Icon />
              </div>
              <div>
                <p class="item-title">{names[event.type] ?? event.type}</p>
                <p class="facts">
                  <time dateTime={event.at}>{formatTime(event.at)}</time>
                  {event.reason && <span>{reasons[event.reason] ?? event.reason}</span>}
                  {event.user_agent && <span class="latin">{describeDevice(event.user_agent)}</span>}
                  {event.ip && <span class="latin">{event.ip}</span>}
                  {facts?.(event)}
                </p>
              </div>
            </div>
          </li>
        );
      })}
    </ul>
  );
}

/** By how a type begins, the longest first. */
const LOOKS: readonly (readonly [RegExp, () => preact.JSX.Element, string])[] = [
  [/^(alert|token_re(used|played)|.*_(failed|suspected|dropped)|account_disabled)/, AlertIcon, 'bad'],
  [/^(login|.*verified|registered|account_(created|enabled))/, CheckIcon, 'good'],
  [/^(logout|session)/, SignOutIcon, ''],
  [/^(otp|phone)/, PhoneIcon, ''],
  [/^email/, MailIcon, ''],
  [/^(password|token|role|staff|superuser)/, KeyIcon, ''],
];

function lookOf(type: string) {
  const [, Icon, looks] = LOOKS.find(([pattern]) => pattern.test(type)) ?? [undefined, PersonIcon, ''];
  return { Icon, looks };
}
