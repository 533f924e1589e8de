import { usePaged } from '../data.js';
import { useTexts } from '../locale.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from './button.js';
import { EventList, type ShownEvent } from './event-list.js';
import { ProblemNotice } from './form.js';
import { Bones } from './section.js';

interface EventLogProps {
  load: (cursor: string | null) => Promise<{ events: ShownEvent[]; next_cursor: string | null }>;
  /** How much has been done on this page: after each it is loaded again. */
  changes: number;
}

/** What happened to an account, the newest first, page by page. */
export function EventLog({ load, changes }: EventLogProps) {
  const texts = useTexts(uiTexts);
  const { data, problem, hasMore, isLoading, loadMore } = usePaged(async (cursor) => {
    const { events, next_cursor } = await load(cursor);
    return { items: events, next: next_cursor };
  }, String(changes));
  return (
    <div class="stack">
      {problem && <ProblemNotice problem={problem} />}
      {data ? <EventList events={data} /> : !problem && <Bones lines={4} />}
      {data?.length === 0 && <p class="muted">{texts.nothingYet}</p>}
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
