import { LinkSigner, signedQueryOf } from "../access/signed-links.ts";
import { FixityError } from "../core/errors.ts";
import { readFlag } from "../settings/config.ts";
import { age } from "../settings/kinds.ts";
import { readKeys } from "../settings/secrets.ts";
import { print, printJson } from "./output.ts";
import { remoteLink, type RemoteSources } from "./remote.ts";

/** The arguments of `fixity sign`. */
export interface SignArguments {
  readonly link: string;
  readonly expires: string;
  readonly filename?: string;
  readonly download?: true;
  readonly view?: true;
  readonly keysFile?: string;
  readonly json?: true;
}

/**
 * `fixity sign`: prints a link with a signature. Makes no request.
 *
 * @throws FixityError `invalid-link`, `invalid-option`
 */
export function signLink(sources: RemoteSources, options: SignArguments): void {
  const { download = false, view = false } = options;
  if (download && view) throw new FixityError("invalid-option", "--download and --view contradict each other.");
  const lifetime = readFlag("--expires", age, options.expires) ?? 0;
  const { url, link } = remoteLink(options.link, sources);
  const signer = new LinkSigner(readKeys("link", { file: options.keysFile, env: sources.env }));
  const filename = options.filename ?? url.searchParams.get("filename");
  const query = signedQueryOf(link, signer, { expires: lifetime, filename, download, view });
  url.search = query;
  if (options.json !== true) return print(`${url.href}\n`);
  const signed = signer.verify(link, query);
  if (typeof signed === "string") throw new FixityError("internal-error", "The signed link is not valid.");
  printJson({ url: url.href, digest: link.digest, ...signed, expires: new Date(signed.expires) });
}
