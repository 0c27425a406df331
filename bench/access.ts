import { AccessKeys } from "../src/access/access-keys.ts";
import { Permits } from "../src/access/permits.ts";
import { LinkSigner } from "../src/access/signed-links.ts";
import { TokenSet } from "../src/access/tokens.ts";
import { Link } from "../src/core/link.ts";
import type { Build } from "./build.ts";
import type { Contender, Start } from "./contender.ts";
import { format, median, report } from "./figures.ts";
import { uploadSmall } from "./load.ts";
import { ROUNDS, rounds } from "./rounds.ts";
import { CACHED, downloadMany, makeFiles, prepare } from "./small-downloads.ts";

const TOKENS = 20;
const CHECKS_PER_ROUND = 50_000;
const KEY = "a key for measurements a key for measurements";
/** The time that a check may take. */
const TARGET_MICROSECONDS = 20;

/**
 * Small uploads and downloads with access control (one of 20 tokens, signed links) and without any, in
 * turns: by the medians, what control costs.
 */
export async function accessLoad(build: Build, parent: string): Promise<void> {
  const tokens = Array.from({ length: TOKENS }, (_, index) => `token-${index}=a-secret-for-measurements-${index}`);
  const token = `a-secret-for-measurements-${TOKENS - 1}`;
  const controlled: Start = {
    name: "fixity, tokens and signed links",
    script: "fixity-access",
    args: [JSON.stringify({ tokens, linkKey: KEY })],
  };
  const place = { build, parent };
  const upload = await rounds(place, [CACHED, controlled], ({ name, port }) =>
    uploadSmall(port, "/uploads", {
      size: 4096,
      connections: 32,
      count: 8000,
      ...(name === controlled.name && { token }),
    }),
  );
  report("Form uploads of 4 KiB, 32 connections, not durable", "per second", upload);
  const files = makeFiles(500, 4096);
  const signer = new LinkSigner(AccessKeys.parse([KEY], "link"));
  const expires = Date.now() + 86_400_000;
  const plain = files.map(({ hex }) => `/uploads/${hex}`);
  const signed = files.map(({ hex }) => `/uploads/${hex}?${signer.sign(Link.parse(hex), { expires })}`);
  const prepared = new Set<Contender>();
  const download = await rounds(place, [CACHED, controlled], async (contender) => {
    if (!prepared.has(contender)) await prepare(contender, files);
    prepared.add(contender);
    return downloadMany(contender.port, contender.name === controlled.name ? signed : plain, { count: 20_000 });
  });
  report("Downloads of 4 KiB, 32 connections, warm", "per second", download);
}

/** Microseconds per check of a token, a permit and a signed link. */
export function accessChecks(): void {
  const secrets = Array.from({ length: TOKENS }, (_, index) => `a-secret-for-measurements-${index}`);
  const tokens = TokenSet.parse(
    secrets.map((secret, index) => `token-${index}=${secret} max-size=1GiB until=2099-12-31`),
  );
  const permits = new Permits(AccessKeys.parse([KEY], "permit"));
  const { permit } = permits.mint({
    maxSize: 1024 ** 3,
    types: ["image/*", "application/pdf", ".docx"],
    name: "user-4711",
    expires: 3_600_000,
    once: true,
  });
  const signer = new LinkSigner(AccessKeys.parse([KEY], "link"));
  const link = Link.parse(`${"ab".repeat(32)}.pdf`);
  const query = signer.sign(link, {
    expires: Date.now() + 3_600_000,
    filename: "quarterly report.pdf",
    download: true,
  });
  console.log(`\nChecks of access (µs, median of ${ROUNDS}; below ${TARGET_MICROSECONDS} is the target)`);
  printTime(`one of ${TOKENS} tokens`, () => isGenuine(tokens.principalOf(secrets[TOKENS - 1] ?? "")));
  printTime("no token", () => tokens.principalOf("a-guess-for-measurements") === null);
  printTime("a permit", () => isGenuine(permits.principalOf(permit)));
  // More than are remembered.
  const queries = Array.from({ length: 10_000 }, (_, index) =>
    signer.sign(link, { expires: Date.now() + 3_600_000 + index * 1000, filename: "quarterly report.pdf" }),
  );
  let next = 0;
  printTime("a signed link", () => typeof signer.verify(link, queries[next++ % queries.length] ?? "") === "object");
  printTime("a signed link, again", () => typeof signer.verify(link, query) === "object");
}

function isGenuine(principal: object | "expired" | null): boolean {
  return principal !== null && principal !== "expired";
}

function printTime(name: string, check: () => boolean): void {
  const values: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const startedAt = performance.now();
    let right = 0;
    for (let done = 0; done < CHECKS_PER_ROUND; done++) right += check() ? 1 : 0;
    if (right !== CHECKS_PER_ROUND) console.log(`  ${name}: ${CHECKS_PER_ROUND - right} checks had the wrong result`);
    // The first round warms up.
    if (round > 0) values.push(((performance.now() - startedAt) * 1000) / CHECKS_PER_ROUND);
  }
  console.log(`  ${name.padEnd(34)} ${format(median(values)).padStart(8)}`);
}
