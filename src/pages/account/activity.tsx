import { useTexts } from '../locale.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { EventLog } from '../ui/event-log.js';
import { Section } from '../ui/section.js';

export function Activity({ changes }: { changes: number }) {
  const texts = useTexts(accountTexts);
  return (
    <Section id="activity" title={texts.activity} lead={texts.activityLead}>
      <EventLog load={(cursor) => client.activity({ cursor, limit: 10 })} changes={changes} />
    </Section>
  );
}
