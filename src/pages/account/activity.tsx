import { usePaged } from '../data.js';
import { useTexts } from '../locale.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { EventList } from '../ui/event-list.js';
import { ProblemNotice } from '../ui/form.js';
import { Bones, Section } from '../ui/section.js';

export function Activity() {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  const { data, problem, hasMore, isLoading, loadMore } = usePaged(async (cursor) => {
    const { events, next_cursor } = await client.activity({ cursor, limit: 10 });
    return { items: events, next: next_cursor };
  });
  return (
    <Section id="activity" title={texts.activity} lead={texts.activityLead}>
      <div class="stack">
        {problem && <ProblemNotice problem={problem} />}
        {data ? <EventList events={data} /> : !problem && <Bones lines={4} />}
        {data?.length === 0 && <p class="muted">{texts.noActivity}</p>}
        {hasMore && (
          <div>
            <Button busy={isLoading} onClick={() => void loadMore()}>
              {texts.more}
            </Button>
          </div>
        )}
      </div>
    </Section>
  );
}
