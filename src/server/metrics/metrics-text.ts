import { AggregatorRegistry, type MetricObjectWithValues, type MetricValueWithName, Registry } from "prom-client";

/** A metric as JSON, which can be sent from one process to another. */
export type MetricJson = MetricObjectWithValues<MetricValueWithName<string>>;

/** A scrape: the text, and its `Content-Type`. */
export interface MetricsText {
  readonly contentType: string;
  readonly text: string;
}

/** The counters and histograms among metrics: what stays true when their process has ended. */
export function countsIn(metrics: readonly MetricJson[]): MetricJson[] {
  return metrics.filter(({ type }) => ["counter", "histogram"].includes(String(type)));
}

/** The metrics of one process. */
export async function metricsOf(registry: Registry): Promise<MetricJson[]> {
  return await registry.getMetricsAsJSON();
}

/** The metrics of several processes as those of one: by each metric's `aggregator`. */
export async function aggregateMetrics(processes: readonly MetricJson[][]): Promise<MetricJson[]> {
  return await AggregatorRegistry.aggregate([...processes]).getMetricsAsJSON();
}

/**
 * Metrics in Prometheus' text format 0.0.4 or in OpenMetrics 1.0.0. For the latter, prom-client
 * renames counters in place, so each text is made from copies of the metrics.
 */
export async function metricsText(metrics: readonly MetricJson[], isOpenMetrics: boolean): Promise<MetricsText> {
  const registry = new Registry();
  if (isOpenMetrics) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  for (const metric of metrics) {
    const isRenamed = isOpenMetrics && String(metric.type) === "counter";
    const name = isRenamed ? metric.name.replace(/_total$/, "") : metric.name;
    const copy = { ...metric, name };
    registry.registerMetric({ ...copy, get: () => Promise.resolve(copy) } as never);
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}
