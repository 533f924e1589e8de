import { useState } from 'preact/hooks';
import { usePaged } from '../data.js';
import { fill, useTexts } from '../locale.js';
import { USER_PATH } from '../paths.js';
import { Link, useTitle } from '../router.js';
import { adminTexts } from '../texts/admin.js';
import { eventNames } from '../texts/events.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { EventList, Latin } from '../ui/event-list.js';
import { Field, SelectField } from '../ui/field.js';
import { Form, ProblemNotice, type Values } from '../ui/form.js';
import { Bones } from '../ui/section.js';
import { type AdminEvent, admin } from './api.js';

export function EventsPage() {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const names = useTexts(eventNames);
  const [filter, setFilter] = useState<Values>({});
  const [turn, setTurn] = useState(0);
  useTitle(texts.events);
  const { data, problem, isLoading, hasMore, loadMore } = usePaged(async (cursor) => {
    const { events, next_cursor } = await admin.events({ ...filter, cursor });
    return { items: events, next: next_cursor };
  }, JSON.stringify(filter));
  const types = Object.entries(names).toSorted(([, a], [, b]) => a.localeCompare(b));
  return (
    <div class="stack">
      <p class="muted">{texts.eventsLead}</p>
      <Form
        key={turn}
        class="filters"
        onSubmit={async ({ from, to, ...rest }) =>
          setFilter({
            ...trimAll(rest),
            ...(from && { from: new Date(from).toISOString() }),
            ...(to && { to: new Date(to).toISOString() }),
          })
        }
      >
        {() => (
          <>
            <SelectField name="type" label={texts.type} options={[['', texts.anyType], ...types]} />
            <Field name="ip" label={texts.address} latin />
            <Field name="user" label={texts.userId} latin />
            <Field name="from" type="datetime-local" label={texts.from} />
            <Field name="to" type="datetime-local" label={texts.to} />
            <div class="row">
              <Button type="submit" kind="primary" class="tall">
                {texts.apply}
              </Button>
              <Button
                class="tall"
                onClick={() => {
                  setTurn(turn + 1);
                  setFilter({});
                }}
              >
                {texts.reset}
              </Button>
            </div>
          </>
        )}
      </Form>
      {problem && <ProblemNotice problem={problem} />}
      {data ? (
        <div class="card panel">
          {data.length === 0 ? (
            <p class="empty" role="status">
              {texts.noEvents}
            </p>
          ) : (
            <EventList events={data} facts={(event) => <Facts event={event} />} />
          )}
        </div>
      ) : (
        !problem && <Bones lines={6} />
      )}
      {hasMore && (
        <div>
          <Button busy={isLoading} onClick={() => void loadMore()}>
            {texts.more}
          </Button>
        </div>
      )}
    </div>
  );
}

const trimAll = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()]));

/** Whose event it is, who did it, and what else it tells. */
function Facts({ event }: { event: AdminEvent }) {
  const texts = useTexts(adminTexts);
  const details = Object.entries(event.detail ?? {});
  return (
    <>
      {details.map(([name, value]) => (
        <Latin key={name} text={`${name} ${value}`} />
      ))}
      {event.user_id && <Link to={USER_PATH + event.user_id}>{texts.ofUser}</Link>}
      {event.actor_id && event.actor_id !== event.user_id && (
        <Link to={USER_PATH + event.actor_id}>
          {fill(texts.byStaff, { id: `…${event.actor_id.slice(-6)}` })}
        </Link>
      )}
    </>
  );
}
