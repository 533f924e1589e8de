import { useState } from 'preact/hooks';
import { useLoaded } from '../data.js';
import { useTexts } from '../locale.js';
import { useTitle } from '../router.js';
import { adminTexts } from '../texts/admin.js';
import { uiTexts } from '../texts/ui.js';
import { SelectField } from '../ui/field.js';
import { ProblemNotice } from '../ui/form.js';
import { Bones } from '../ui/section.js';
import { admin, type SeriesName, type Stats } from './api.js';
import { ChartCard, type Colour } from './chart-card.js';

const HOUR_MS = 3_600_000;

const RANGES = {
  day: { interval: 'hour', length: 24 * HOUR_MS },
  week: { interval: 'hour', length: 7 * 24 * HOUR_MS },
  month: { interval: 'day', length: 30 * 24 * HOUR_MS },
  quarter: { interval: 'day', length: 90 * 24 * HOUR_MS },
} as const;

type Range = keyof typeof RANGES;

/** Each chart: its title, and its series with their colours. */
const CHARTS = [
  ['logins', { logins: 'accent', failures: 'danger' }],
  ['codes', { otp_sends: 'accent', otp_verifications: 'good' }],
  ['registrations', { registrations: 'accent' }],
  ['refreshes', { refreshes: 'accent' }],
  ['codeFailures', { otp_failures: 'danger' }],
  ['revocations', { revocations: 'accent' }],
  ['alerts', { alerts: 'danger' }],
] as const satisfies readonly (readonly [string, Partial<Record<SeriesName, Colour>>])[];

/** How much happened, over time. */
export function StatsPage() {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const [range, setRange] = useState<Range>('day');
  useTitle(texts.stats);
  const { data, problem } = useLoaded(() => load(range), range);
  return (
    <div class="stack">
      <div class="filters">
        <SelectField
          name="range"
          label={texts.range}
          value={range}
          options={(Object.keys(RANGES) as Range[]).map((key) => [key, texts[key]] as const)}
          onChange={(key) => setRange(key as Range)}
        />
      </div>
      {problem && <ProblemNotice problem={problem} />}
      {data ? (
        <div class="charts">
          {CHARTS.map(([title, colours]) => (
            <ChartCard
              key={title}
              title={texts[title]}
              times={data.buckets.map((bucket) => Date.parse(bucket) / 1000)}
              byDay={RANGES[data.range].interval === 'day'}
              series={(Object.entries(colours) as [SeriesName, Colour][]).map(([name, colour]) => ({
                label: labelOf(name, texts) ?? texts[title],
                values: data.series[name],
                colour,
              }))}
            />
          ))}
        </div>
      ) : (
        !problem && <Bones lines={6} />
      )}
    </div>
  );
}

const labelOf = (name: SeriesName, texts: (typeof adminTexts)['en']): string | undefined =>
  ({
    logins: texts.loginsSeries,
    failures: texts.failuresSeries,
    otp_sends: texts.sendsSeries,
    otp_verifications: texts.verificationsSeries,
  })[name as string];

async function load(range: Range): Promise<Stats & { range: Range }> {
  const { interval, length } = RANGES[range];
  const to = Date.now();
  const stats = await admin.stats({
    interval,
    from: new Date(to - length).toISOString(),
    to: new Date(to).toISOString(),
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  });
  return { ...stats, range };
}
