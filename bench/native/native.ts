/**
 * `native`: fixity beside servers in Rust, Go and C.
 *
 * `programs.ts` builds them, `rows.ts` states the work, `measure.ts` takes the figures, `report.ts`
 * writes them to `bench/RESULTS.md` with plots.
 */
import { execFileSync } from "node:child_process";
import { cpus, loadavg, release, totalmem } from "node:os";
import type { Build } from "../build.ts";
import { removeFolders } from "../contender.ts";
import { format, median } from "../figures.ts";
import { withGateway } from "../s3.ts";
import type { S3Target } from "../servers/s3-target.ts";
import { countRequests, type Effort, type Figures, measureRow, type Row } from "./measure.ts";
import { buildPrograms, type Programs } from "./programs.ts";
import { type MeasuredRow, type Results, writeReport } from "./report.ts";
import { FULL, makeRows, QUICK } from "./rows.ts";

const NO_TARGET: S3Target = { endpoint: "", region: "", bucket: "", accessKey: "", secretKey: "" };

export async function native(build: Build, options: { parent: string; isQuick: boolean }): Promise<void> {
  const { parent, isQuick } = options;
  const programs = await buildPrograms();
  const effort: Effort = isQuick
    ? { rounds: 1, warmUps: 0 }
    : { rounds: Number(process.env["BENCH_ROUNDS"] ?? 5), warmUps: 1 };
  const loadBefore = loadavg()[0] ?? 0;
  const rows: MeasuredRow[] = [];
  const wanted = process.env["BENCH_ROWS"]?.split(",");
  for (const row of makeRows(programs, isQuick ? QUICK : FULL)) {
    if (wanted?.includes(row.id) === false) continue;
    const place = { build, parent };
    let figures: readonly Figures[] = [];
    if (row.isOnS3) {
      await withGateway(row.title, async (target) => {
        figures = await measureRow(row, place, { ...effort, target });
        await countRequests(row, place, { target, figures });
      });
    } else {
      figures = await measureRow(row, place, { ...effort, target: NO_TARGET });
    }
    await removeFolders();
    if (figures.length === 0) continue;
    print(row, figures);
    rows.push({ id: row.id, title: row.title, per: row.per, figures });
  }
  if (isQuick || wanted !== undefined) return;
  await writeReport({ rows, rounds: effort.rounds, loadBefore, ...environment(programs) });
}

function environment({ article, tusd, nginx }: Programs): Pick<Results, "date" | "machine" | "versions"> {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model}, ${Math.round(totalmem() / 1024 ** 3)} GiB, Linux ${release()}`,
    versions: {
      fixity: execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
      "Node.js": process.versions.node,
      "the article's service": article?.version ?? null,
      tusd: tusd?.version ?? null,
      nginx: nginx?.version ?? null,
      Ceph: cephVersion(),
    },
  };
}

function cephVersion(): string | null {
  if (process.env["TEST_S3_ENDPOINT"] !== undefined) return null;
  try {
    return execFileSync("radosgw", ["--version"], { encoding: "utf8" }).split(" ")[2] ?? null;
  } catch {
    return null;
  }
}

function print({ title, per }: Row, figures: readonly Figures[]): void {
  console.log(`\n${title}`);
  for (const { name, throughput, cpu, peakMemory, requests, loadShare } of figures) {
    const spread = `${format(Math.min(...throughput))} to ${format(Math.max(...throughput))}`;
    const parts = [
      `${format(median(throughput)).padStart(7)} ${per === "file" ? "/s   " : "MiB/s"} ${spread.padEnd(16)}`,
      `CPU ${format(median(cpu)).padStart(5)} ${per === "file" ? "ms per file" : "s per GiB"}`,
      `${peakMemory.toFixed(0).padStart(4)} MiB`,
      ...(requests === null ? [] : [`${format(requests)} requests`]),
      `load ${(100 * loadShare).toFixed(0)} %`,
    ];
    console.log(`  ${name.padEnd(32)} ${parts.join("   ")}`);
  }
}
