import { type Permit, permitFor, Permits } from "../access/permits.ts";
import { formatExactSize } from "../base/format-size.ts";
import { Digest } from "../core/digest.ts";
import { readFlag } from "../settings/config.ts";
import { age, size, types } from "../settings/kinds.ts";
import { readKeys } from "../settings/secrets.ts";
import { print, printJson } from "./output.ts";
import { remoteOf, type RemoteSources } from "./remote.ts";

/** The arguments of `fixity permit`. */
export interface PermitArguments {
  readonly expires: string;
  readonly maxSize?: string;
  readonly digest?: string;
  readonly types?: string;
  readonly name?: string;
  readonly once?: true;
  readonly keysFile?: string;
  readonly json?: true;
}

/**
 * `fixity permit`: prints a permit and how to use it. Makes no request.
 *
 * @throws FixityError `invalid-option`, `invalid-digest`
 */
export function makePermit(sources: RemoteSources, options: PermitArguments): void {
  const terms = {
    expires: readFlag("--expires", age, options.expires) ?? 0,
    maxSize: readFlag("--max-size", size, options.maxSize) ?? undefined,
    digest: options.digest === undefined ? undefined : Digest.parse(options.digest),
    types: readFlag("--types", types, options.types)?.toJSON(),
    name: options.name,
    once: options.once,
  };
  const { endpoint } = remoteOf(sources);
  const permits = new Permits(readKeys("permit", { file: options.keysFile, env: sources.env }));
  const permit = permitFor(endpoint.href, permits, terms);
  // The page is at the root of the service, and a fragment is sent to no server.
  const page = `${new URL("./", endpoint).href}#permit=${permit.permit}`;
  const fields = `-H 'Accept: text/plain' -H 'Authorization: ${permit.headers.Authorization}'`;
  // It prints the link alone. A refusal fails, and prints the reason.
  const curl = `curl -sS --fail-with-body ${fields} -T FILE '${permit.url}/'`;
  if (options.json === true) printJson({ ...permit, curl, page });
  else print(textOf(permit, curl, page));
}

function textOf(permit: Permit, curl: string, page: string): string {
  const { url, method, headers, maxSize, types, digest, name, expires, once } = permit;
  const rows: readonly (readonly [label: string, value: string])[] = [
    ["permit", permit.permit],
    ["url", url],
    ["method", method],
    ["header", `Authorization: ${headers.Authorization}`],
    ["max size", maxSize === null ? "that of the service" : formatExactSize(maxSize)],
    ["digest", digest === null ? "any" : String(digest)],
    ["types", types === null ? "those of the service" : types.join(", ")],
    ["name", name],
    ["expires", expires.toISOString()],
    ["uploads", once ? "one" : "any number"],
    ["curl", curl],
    ["page", page],
  ];
  return rows.map(([label, value]) => `${label.padEnd(9)} ${value}\n`).join("");
}
