/** Writes `bench/RESULTS.md` and its plots from the figures of a run. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { format, median } from "../figures.ts";
import type { Figures, Row } from "./measure.ts";

const run = promisify(execFile);

const RESULTS = fileURLToPath(new URL("../RESULTS.md", import.meta.url));
const PLOTS = fileURLToPath(new URL("plots", import.meta.url));
/** Vega-Lite draws the plots. Only a full run needs it, so it is no dependency of the repository. */
const VEGA = ["--yes", "--package", "vega-lite@6.5.0", "--package", "vega@6.4.0", "vl2svg"];
/** The measured part of the report; the rest is written by hand. */
const MEASURED = /(?<=<!-- measured -->\n)[^]*(?=<!-- \/measured -->)/;
/** The load's share of a processor from which on it may be the limit. */
const LIMITING_SHARE = 0.9;

/** A row with its figures. */
export interface MeasuredRow extends Pick<Row, "id" | "title" | "per"> {
  readonly figures: readonly Figures[];
}

/** All that a run found. */
export interface Results {
  readonly date: string;
  readonly machine: string;
  /** `null` for what was not there. */
  readonly versions: Readonly<Record<string, string | null>>;
  readonly rounds: number;
  /** The machine's load average before the run: what else was running. */
  readonly loadBefore: number;
  readonly rows: readonly MeasuredRow[];
}

export async function writeReport(results: Results): Promise<void> {
  await mkdir(PLOTS, { recursive: true });
  for (const row of results.rows) await writeFile(join(PLOTS, `${row.id}.svg`), await plot(row));
  const text = await readFile(RESULTS, "utf8");
  await writeFile(
    RESULTS,
    text.replace(MEASURED, () => `\n${measuredPart(results)}\n`),
  );
}

function measuredPart({ date, machine, versions, rounds, loadBefore, rows }: Results): string {
  const known = Object.entries(versions).filter(([, version]) => version !== null);
  return [
    `Measured on ${date}: ${machine}; load average before the run ${loadBefore.toFixed(1)}.`,
    `${known.map(([name, version]) => `${name} ${version}`).join("; ")}.`,
    `Medians of ${rounds} rounds after one to warm up, with the smallest and the largest in brackets.`,
    ...rows.map(section),
  ].join("\n\n");
}

function section({ id, title, per, figures }: MeasuredRow): string {
  const isOnS3 = figures.some(({ requests }) => requests !== null);
  const columns = [
    "server",
    per === "file" ? "files per second" : "MiB/s",
    per === "file" ? "CPU, ms per file" : "CPU, s per GiB",
    "peak memory, MiB",
    ...(isOnS3 ? ["S3 requests per file"] : []),
  ];
  const lines = figures.map((one) => [
    one.name,
    withSpread(one.throughput) + (one.loadShare > LIMITING_SHARE ? " ¹" : ""),
    withSpread(one.cpu),
    one.peakMemory.toFixed(0),
    ...(isOnS3 ? [format(one.requests ?? Number.NaN)] : []),
  ]);
  const table = [columns, columns.map((_, index) => (index === 0 ? "---" : "--:")), ...lines];
  return `### ${title}\n\n${table.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n\n![${title}](native/plots/${id}.svg)`;
}

function withSpread(values: readonly number[]): string {
  return `${format(median(values))} (${format(Math.min(...values))} to ${format(Math.max(...values))})`;
}

/** Throughput and CPU as bars, with the spread as lines. */
async function plot({ title, per, figures }: MeasuredRow): Promise<string> {
  const panel = (name: string, unit: string, values: (one: Figures) => readonly number[]): object => ({
    title: { text: name, fontWeight: "normal" },
    width: 280,
    data: {
      values: figures.map((one) => {
        const all = values(one);
        return { server: one.name, median: median(all), least: Math.min(...all), most: Math.max(...all) };
      }),
    },
    encoding: { y: { field: "server", type: "nominal", sort: null, title: null, axis: { labelLimit: 240 } } },
    layer: [
      {
        mark: { type: "bar", height: { band: 0.6 } },
        encoding: {
          x: { field: "median", type: "quantitative", title: unit },
          color: {
            condition: { test: "indexof(datum.server, 'fixity') === 0", value: "#2f6f9f" },
            value: "#b8b8b8",
          },
        },
      },
      {
        mark: { type: "rule", color: "#333333", strokeWidth: 1.5 },
        encoding: { x: { field: "least", type: "quantitative" }, x2: { field: "most" } },
      },
    ],
  });
  const spec = {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    title: { text: title, anchor: "start" },
    background: "white",
    hconcat: [
      panel("throughput, higher is better", per === "file" ? "files per second" : "MiB/s", (one) => one.throughput),
      panel("CPU of the server, lower is better", per === "file" ? "ms per file" : "s per GiB", (one) => one.cpu),
    ],
  };
  const folder = await mkdtemp(join(tmpdir(), "fixity-plot-"));
  try {
    await writeFile(join(folder, "plot.json"), JSON.stringify(spec));
    await run("npx", [...VEGA, "plot.json", "plot.svg"], { cwd: folder });
    return await readFile(join(folder, "plot.svg"), "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
