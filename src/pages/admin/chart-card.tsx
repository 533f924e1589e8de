import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { fill, formatDate, formatNumber, useLocale, useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { adminTexts } from '../texts/admin.js';

/** By its name among the styles. */
export type Colour = 'accent' | 'danger' | 'good';

export interface Series {
  label: string;
  colour: Colour;
  values: readonly number[];
}

interface ChartCardProps {
  title: string;
  /** When each bucket begins, in seconds since the epoch. */
  times: readonly number[];
  byDay: boolean;
  /** One or two. */
  series: readonly Series[];
}

/** A chart for those who see it; its numbers in words, and in a table, for everybody. */
export function ChartCard({ title, times, byDay, series }: ChartCardProps) {
  const texts = useTexts(adminTexts);
  const sums = series.map(({ values }) => values.reduce((sum, value) => sum + value, 0));
  const inWords = series
    .map(({ label }, index) => `${label} ${formatNumber(sums[index] as number)}`)
    .join(', ');
  return (
    <figure class="card">
      <figcaption>
        <h2>{title}</h2>
        <ul class="legend-row">
          {series.map(({ label, colour }, index) => (
            <li key={label}>
              {series.length > 1 && <span class={`swatch ${colour}`} aria-hidden="true" />}
              {series.length > 1 && label}
              <span class="total">{formatNumber(sums[index] as number)}</span>
            </li>
          ))}
        </ul>
      </figcaption>
      <Chart
        times={times}
        byDay={byDay}
        series={series}
        label={fill(texts.chartOf, { title, values: inWords })}
      />
      <details class="table-details">
        <summary>{texts.asTable}</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard. */}
        <section class="scroll" tabIndex={0} aria-label={title}>
          <table>
            <caption class="unseen">{title}</caption>
            <thead>
              <tr>
                <th scope="col">{texts.time}</th>
                {series.map(({ label }) => (
                  <th scope="col" class="number" key={label}>
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {times.map((time, index) => (
                <tr key={time}>
                  <th scope="row">{sayTime(time, byDay)}</th>
                  {series.map(({ label, values }) => (
                    <td class="number" key={label}>
                      {formatNumber(values[index] ?? 0)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </details>
    </figure>
  );
}

const sayTime = (seconds: number, byDay: boolean): string =>
  formatDate(
    seconds * 1000,
    byDay ? { dateStyle: 'medium' } : { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' },
  );

interface ChartProps extends Omit<ChartCardProps, 'title'> {
  label: string;
}

function Chart({ times, byDay, series, label }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const look = useLook();
  const locale = useLocale();
  const hasStyles = useChartStyles();
  // biome-ignore lint/correctness/useExhaustiveDependencies: another language or theme needs another drawing.
  useEffect(() => {
    const element = place.current;
    if (!element || !hasStyles) return;
    const chart = draw(element, { times, byDay, series });
    const watch = new ResizeObserver(() => chart.setSize(sizeOf(element)));
    watch.observe(element);
    return () => {
      watch.disconnect();
      chart.destroy();
    };
  }, [times, byDay, series, look, locale, hasStyles]);
  return <div class="chart" ref={place} role="img" aria-label={label} />;
}

const sizeOf = (element: HTMLElement) => ({ width: element.clientWidth, height: element.clientHeight });

function draw(element: HTMLElement, { times, byDay, series }: Omit<ChartCardProps, 'title'>): uPlot {
  const style = getComputedStyle(element);
  const colour = (name: string) => resolveColour(element, `var(--${name})`);
  const [muted, edge] = [colour('muted'), colour('edge')];
  const font = `12px ${style.fontFamily}`;
  const axis = { stroke: muted, font, ticks: { show: false }, grid: { stroke: edge, width: 1 } };
  const most = Math.max(1, ...series.flatMap(({ values }) => values));
  const [first = 0, last = 0, bucket = 3600] = [times[0], times.at(-1), (times[1] ?? 0) - (times[0] ?? 0)];
  return new uPlot(
    {
      ...sizeOf(element),
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { range: [first - bucket / 2, last + bucket / 2] }, y: { range: [0, most * 1.1] } },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 26,
          space: 70,
          values: (_chart, splits) =>
            splits.map((at) =>
              formatDate(at * 1000, byDay ? { month: 'short', day: 'numeric' } : axisTime(times)),
            ),
        },
        {
          ...axis,
          size: (chart, labels) => widthOf(chart, labels ?? [], font),
          incrs: STEPS,
          values: (_chart, splits) => splits.map((value) => formatNumber(value)),
        },
      ],
      series: [
        {},
        ...series.map(({ label, colour: name }, index) => ({
          label,
          fill: colour(name),
          width: 0,
          points: { show: false },
          // Two stand side by side.
          paths:
            series.length === 1
              ? uPlot.paths.bars?.({ size: [0.7, 28], radius: 0.2 })
              : uPlot.paths.bars?.({ size: [0.35, 14], align: index === 0 ? -1 : 1, radius: 0.2 }),
        })),
      ],
    },
    [[...times], ...series.map(({ values }) => [...values])] as uPlot.AlignedData,
    element,
  );
}

/** Whole numbers: 1, 2, 5, 10, … */
const STEPS = Array.from(
  { length: 30 },
  (_, index) => ([1, 2, 5][index % 3] ?? 1) * 10 ** Math.floor(index / 3),
);

/** Of the longest label, and its distance from the bars. */
function widthOf({ ctx }: uPlot, labels: readonly string[], font: string): number {
  ctx.font = font;
  return Math.max(24, ...labels.map((label) => Math.ceil(ctx.measureText(label).width))) + 10;
}

/** Within a day the hour is enough, in a week the day. */
const axisTime = (times: readonly number[]): Intl.DateTimeFormatOptions =>
  times.length > 48 ? { month: 'short', day: 'numeric' } : { hour: 'numeric', minute: '2-digit' };

/** A canvas knows no variables. */
function resolveColour(element: HTMLElement, colour: string): string {
  const before = element.style.color;
  element.style.color = colour;
  const resolved = getComputedStyle(element).color;
  element.style.color = before;
  return resolved;
}

/** Changes whenever the colours do. */
function useLook(): number {
  const [look, setLook] = useState(0);
  useEffect(() => {
    const change = () => setLook((before) => before + 1);
    const watch = new MutationObserver(change);
    watch.observe(document.documentElement, { attributeFilter: ['data-theme', 'dir'] });
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', change);
    return () => {
      watch.disconnect();
      dark.removeEventListener('change', change);
    };
  }, []);
  return look;
}

let styles: Promise<void> | undefined;

/** uPlot's own styles, once, before anything is drawn. */
function useChartStyles(): boolean {
  const [isThere, setThere] = useState(false);
  useEffect(() => {
    styles ??= new Promise((resolve) => {
      const link = document.createElement('link');
      link.rel = 'stylesheet';
      link.href = settings.chartStyles;
      link.onload = () => resolve();
      document.head.append(link);
    });
    void styles.then(() => setThere(true));
  }, []);
  return isThere;
}
