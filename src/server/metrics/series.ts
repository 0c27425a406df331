import type { Registry } from "prom-client";
import type { MetricJson } from "./metrics-text.ts";

/*
 * Counters and histograms whose series are looked up once and then kept by the code that counts.
 * prom-client sorts, checks and joins the labels at every count, which is most of what measuring a
 * small upload costs (docs/decisions/0021). It still formats, aggregates and measures the process.
 */

/** What a metric is called and what it means; its labels in the order of their values. */
export interface Description {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** One series of a counter. */
export class CounterSeries {
  #value = 0;

  get value(): number {
    return this.#value;
  }

  add(amount = 1): void {
    this.#value += amount;
  }
}

/** One series of a histogram. */
export class HistogramSeries {
  readonly #bounds: readonly number[];
  /** Values in each bucket alone, and at last those above all bounds. */
  readonly #counts: Float64Array;
  #sum = 0;

  /** @param bounds the highest value of each bucket, ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sum += value;
  }

  /** Its values as Prometheus has them: each bucket counts the smaller ones too. */
  values(name: string, labels: Labels): MetricJson["values"] {
    let count = 0;
    const buckets = Array.from(this.#counts, (inBucket, index) => {
      count += inBucket;
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[index] ?? "+Inf", ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

type Labels = Readonly<Record<string, string>>;

/** A metric: one series for each combination of label values, whose number the caller keeps bounded. */
export class Family<Series> {
  readonly name: string;
  readonly #help: string;
  readonly #labels: readonly string[];
  readonly #kind: Kind<Series>;
  readonly #series = new Map<string, { readonly labels: Labels; readonly series: Series }>();

  constructor(registry: Registry, { name, help, labels = [] }: Description, kind: Kind<Series>) {
    this.name = name;
    this.#help = help;
    this.#labels = labels;
    this.#kind = kind;
    // What has no labels is there from the beginning, with 0.
    if (labels.length === 0) this.of();
    // The registry needs a name and `get`; its type names prom-client's own classes.
    registry.registerMetric(this as never);
  }

  /** The series with these values, in the order of the labels; made with 0 at the first call. */
  of(...values: readonly string[]): Series {
    const key = values.join(" ");
    let known = this.#series.get(key);
    if (known === undefined) {
      const labels = Object.fromEntries(this.#labels.map((label, index) => [label, values[index] ?? ""]));
      known = { labels, series: this.#kind.create() };
      this.#series.set(key, known);
    }
    return known.series;
  }

  /** For the registry. */
  get(): Promise<MetricJson> {
    const values = [...this.#series.values()].flatMap(({ labels, series }) =>
      this.#kind.read(series, this.name, labels),
    );
    const { type } = this.#kind;
    return Promise.resolve({ name: this.name, help: this.#help, type, values, aggregator: "sum" } as never);
  }
}

interface Kind<Series> {
  readonly type: "counter" | "histogram";
  readonly create: () => Series;
  readonly read: (series: Series, name: string, labels: Labels) => MetricJson["values"];
}

/** A counter; it rises from 0. */
export function counterFamily(registry: Registry, description: Description): Family<CounterSeries> {
  return new Family(registry, description, {
    type: "counter",
    create: () => new CounterSeries(),
    read: ({ value }, _name, labels) => [{ labels, value }],
  });
}

/** A histogram. @param bounds the highest value of each bucket, ascending */
export function histogramFamily(
  registry: Registry,
  description: Description & { readonly bounds: readonly number[] },
): Family<HistogramSeries> {
  const { bounds } = description;
  return new Family(registry, description, {
    type: "histogram",
    create: () => new HistogramSeries(bounds),
    read: (series, name, labels) => series.values(name, labels),
  });
}

/** Makes something once for each combination of words; the caller keeps their number bounded. */
export function memoized<Made, Words extends readonly string[]>(
  make: (...words: Words) => Made,
): (...words: Words) => Made {
  const known = new Map<string, Made>();
  return (...words) => {
    const key = words.join(" ");
    let made = known.get(key);
    if (made === undefined) {
      made = make(...words);
      known.set(key, made);
    }
    return made;
  };
}
