import { formatSize } from "../base/format-size.ts";
import { printable } from "../base/printable.ts";
import { EXIT } from "./exit-codes.ts";
import { inOrder } from "./in-order.ts";
import { Interruption } from "./interruption.ts";
import { paint, print, printJson, printProblem } from "./output.ts";
import { type StatOutcome, statOnce } from "./remote-failure.ts";
import { withoutPage } from "./signed-page.ts";
import { type RemoteLink, remoteLink, type RemoteSources } from "./remote.ts";

const REQUEST_CONCURRENCY = 8;

/** A link, and the result of asking the service for it. */
interface LinkStat {
  /** The link as the user wrote it. */
  readonly given: string;
  readonly link: RemoteLink;
  readonly outcome: StatOutcome;
}

/**
 * `fixity stat`: checks for each link whether the file exists, and shows its size.
 *
 * @returns the exit code
 * @throws FixityError `invalid-link` or `invalid-option`, before any request
 */
export async function statLinks(sources: RemoteSources, links: readonly string[], isJson: boolean): Promise<number> {
  const parsed = links.map((given) => ({ given, link: remoteLink(given, sources) }));
  using interruption = new Interruption();
  const { signal } = interruption;
  const statuses = new Set<StatOutcome["status"]>();
  await inOrder(parsed, {
    concurrency: REQUEST_CONCURRENCY,
    work: async ({ given, link }) => {
      const { url } = await withoutPage(link, signal);
      return { given, link, outcome: await statOnce(link, url, signal) };
    },
    onResult: (stat) => {
      statuses.add(stat.outcome.status);
      if (signal.aborted) return;
      if (isJson) printStatJson(stat);
      else printStat(stat);
    },
    signal,
  });
  if (interruption.exitCode !== null) return interruption.exitCode;
  if (statuses.has("failed")) return EXIT.failed;
  return statuses.has("missing") ? EXIT.notOk : EXIT.ok;
}

function printStat({ given, link, outcome }: LinkStat): void {
  switch (outcome.status) {
    case "stored": {
      const { digest, size, type } = outcome.info;
      return print(`stored   ${digest}  ${formatSize(size)}, ${printable(type)}\n`);
    }
    case "missing":
      return print(`${paint("red", "missing")}  ${String(link.digest)}\n`);
    case "failed":
      return printProblem(`${given}: ${outcome.reason}`);
  }
}

function printStatJson({ given, link, outcome }: LinkStat): void {
  switch (outcome.status) {
    case "stored": {
      const { url, size, type, integrity } = outcome.info;
      return printJson({ status: "stored", link: given, url, digest: link.digest, size, type, integrity });
    }
    case "missing":
      return printJson({ status: "missing", link: given, digest: link.digest });
    case "failed":
      return printJson({ status: "failed", link: given, code: outcome.code, reason: outcome.reason });
  }
}
