import { percentEncode } from "../../../base/percent-encode.ts";

/** A query as it is signed and sent: sorted, and everything but letters, digits and `-_.~` is encoded. */
export function queryText(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}
