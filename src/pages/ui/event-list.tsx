import type { ComponentChildren } from 'preact';
import { describeDevice } from '../../lib/device.js';
import { formatTime, useLocale, useTexts } from '../locale.js';
import { sayDevice } from '../texts/devices.js';
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
  const locale = useLocale();
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
                  {event.user_agent && <span>{sayDevice(describeDevice(event.user_agent), locale)}</span>}
                  {event.ip && <Latin text={event.ip} />}
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

/** A fact in its own direction, among others in that of the page. */
export const Latin = ({ text }: { text: string }) => (
  <span>
    <bdi dir="ltr">{text}</bdi>
  </span>
);

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
