/** The code in the documentation: where it is, in which language, and what it takes for granted. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { ROOT } from "../../site/pages.ts";

export interface CodeBlock {
  /** The page and the line of its first fence: `docs/client.md:7`. */
  readonly place: string;
  /** The page, and a name for files: `docs-client-7`. */
  readonly page: string;
  readonly id: string;
  readonly language: string;
  readonly code: string;
  /**
   * The comment `<!-- code: … -->` directly before the block, which readers do not see: code that
   * comes before the block or, where it has the line `// block`, around it. `skip: REASON` leaves the block out.
   */
  readonly marker: string | null;
}

const FENCED = /(?:<!-- code:([^]*?)-->\n+)?^( *)```([\w-]*)[^\n]*\n([^]*?)^\2```$/gm;

export function codeBlocks(): readonly CodeBlock[] {
  const docs = readdirSync(path.join(ROOT, "docs"), { recursive: true, encoding: "utf8" });
  const pages = docs.filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  const others = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md", "site/index.md"];
  return [...others, ...pages].flatMap(blocksOf);
}

function blocksOf(page: string): readonly CodeBlock[] {
  const text = readFileSync(path.join(ROOT, page), "utf8");
  return Array.from(text.matchAll(FENCED), (match) => {
    const [all, marker, indent = "", language = "", code = ""] = match;
    const line = text.slice(0, match.index + all.indexOf("```")).split("\n").length;
    return {
      place: `${page}:${line}`,
      page,
      id: `${page.replace(/\.md$/, "").replaceAll(/\W+/g, "-")}-${line}`,
      language,
      code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
      marker: marker?.trim() ?? null,
    };
  });
}

export function isSkipped({ marker }: CodeBlock): boolean {
  return marker !== null && marker.startsWith("skip:");
}

/** The block with what its marker adds. */
export function wholeCode({ code, marker }: CodeBlock): string {
  if (marker === null) return code;
  return marker.includes("// block") ? marker.replace("// block", () => code) : `${marker}\n${code}`;
}

/** The commands of a shell block. Of a session, only the lines that begin with a prompt are commands. */
export function commandsOf({ code, language }: CodeBlock): string {
  if (language !== "console") return code;
  const lines = code.replaceAll(/\\\n/g, "").split("\n");
  return lines.flatMap((line) => (line.startsWith("$ ") ? [line.slice(2)] : [])).join("\n");
}

/**
 * Names that the pages use without a declaration: the functions of the package, which were imported
 * further up, and the reader's own app.
 */
export const READERS_APP = `
import type { Express } from "express";
import type * as fixityPackage from "fixity";
import type { Client } from "fixity/client";

declare global {
  const createFixity: typeof fixityPackage.createFixity;
  const diskStore: typeof import("fixity/disk").diskStore;
  const nodeHandler: typeof import("fixity/node").nodeHandler;
  const createClient: typeof import("fixity/client").createClient;
  const stripMetadata: typeof import("fixity/client/strip-metadata").stripMetadata;

  const app: Express;
  const store: fixityPackage.BlobStore;
  const fixity: fixityPackage.Fixity;
  const client: Client;
  const endpoint: string;
  const file: File;
  const link: string;
  const receipt: fixityPackage.Receipt;
  const stream: AsyncIterable<Uint8Array>;
  const user: { readonly id: string };
  function show(...values: unknown[]): void;
}
`;
