import type { Metric, Registry } from 'prom-client';
import type { Histogram } from './histogram.js';

export type Labels = Readonly<Record<string, string | number>>;

export interface Sample {
  labels?: Labels;
  value: number;
}

/** A metric that is read when somebody asks. */
export interface Definition {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  read(): Iterable<Sample & { metricName?: string }>;
}

export const counter = (name: string, help: string, read: () => Iterable<Sample>): Definition => ({
  name: `latchkey_${name}`,
  help,
  type: 'counter',
  read,
});

export const gauge = (name: string, help: string, read: () => Iterable<Sample>): Definition => ({
  name: `latchkey_${name}`,
  help,
  type: 'gauge',
  read,
});

export function histogram(
  base: string,
  help: string,
  read: () => Iterable<{ labels: Labels; histogram: Histogram }>,
): Definition {
  const name = `latchkey_${base}`;
  return {
    name,
    help,
    type: 'histogram',
    *read() {
      for (const { labels, histogram } of read()) {
        const { cumulative, count, sum } = histogram.read();
        const metricName = `${name}_bucket`;
        for (const each of cumulative) {
          yield { metricName, labels: { ...labels, le: each.bound }, value: each.count };
        }
        yield { metricName, labels: { ...labels, le: '+Inf' }, value: count };
        yield { metricName: `${name}_sum`, labels, value: sum };
        yield { metricName: `${name}_count`, labels, value: count };
      }
    },
  };
}

/**
 * Writes them as Prometheus's text. Its library is loaded when somebody first asks: that takes longer than half of
 * Latchkey's own start.
 */
export function createExposition(
  definitions: readonly Definition[],
  { ofProcess }: { ofProcess: boolean },
): () => Promise<string> {
  let registry: Promise<Registry> | undefined;
  return async () => {
    registry ??= fill(definitions, ofProcess);
    return (await registry).metrics();
  };
}

async function fill(definitions: readonly Definition[], ofProcess: boolean): Promise<Registry> {
  const { default: prometheus } = await import('prom-client');
  // Its own: those of two applications in one process do not meet.
  const registry = new prometheus.Registry();
  for (const { read, ...about } of definitions) {
    // All that a registry wants of a metric; the library's classes know no histogram that was counted elsewhere.
    const metric = { ...about, get: async () => ({ ...about, values: [...read()] }) };
    registry.registerMetric(metric as unknown as Metric);
  }
  if (ofProcess) prometheus.collectDefaultMetrics({ register: registry });
  return registry;
}
