/** How often values fell below which bound; cheap enough for every request. */
export interface Histogram {
  observe(value: number): void;
  read(): HistogramReading;
}

export interface HistogramReading {
  /** Per bound, how many values were not above it: a value is counted at every bound that it does not exceed. */
  cumulative: { bound: number; count: number }[];
  count: number;
  sum: number;
}

/** Bounds are in rising order. */
export function createHistogram(bounds: readonly number[]): Histogram {
  const counts = bounds.map(() => 0);
  let above = 0;
  let sum = 0;

  return {
    observe(value) {
      sum += value;
      let n = 0;
      while (n < bounds.length && value > (bounds[n] as number)) n += 1;
      if (n === bounds.length) above += 1;
      else counts[n] = (counts[n] as number) + 1;
    },
    read() {
      let count = 0;
      const cumulative = bounds.map((bound, n) => {
        count += counts[n] as number;
        return { bound, count };
      });
      return { cumulative, count: count + above, sum };
    },
  };
}
