import type { TypeList } from "../access/type-list.ts";
import { addressRanges, choice, hosts, list, origins, type Setting, text, types, yesNo } from "./kinds.ts";

/** The settings that decide who may use a server, and as whom. */
export interface AccessSettings {
  readonly tokens: readonly string[] | undefined;
  readonly tokensFile: string | undefined;
  readonly permitKeys: readonly string[] | undefined;
  readonly permitKeysFile: string | undefined;
  readonly linkKeys: readonly string[] | undefined;
  readonly linkKeysFile: string | undefined;
  readonly open: boolean;
  readonly reads: "public" | "signed";
  readonly types: TypeList | undefined;
  readonly revealExisting: boolean | undefined;
  readonly hosts: readonly string[] | undefined;
  readonly corsOrigins: "*" | readonly string[] | undefined;
  readonly trustedProxies: readonly string[] | undefined;
}

/** The part of the table of settings that is about access. */
export const ACCESS_SETTINGS: { readonly [Name in keyof AccessSettings]: Setting<AccessSettings[Name]> } = {
  tokens: {
    env: "UPLOAD_TOKENS",
    secret: true,
    kind: list,
    value: "list",
    help: "tokens of programs that upload: name=secret and its rights and limits, separated by commas",
  },
  tokensFile: {
    env: "UPLOAD_TOKENS_FILE",
    kind: text,
    value: "file",
    help: "file of tokens, one per line; SIGHUP reads it again",
  },
  permitKeys: {
    env: "UPLOAD_PERMIT_KEYS",
    secret: true,
    kind: list,
    value: "list",
    help: "keys for permits, separated by commas: the first signs, all verify",
  },
  permitKeysFile: {
    env: "UPLOAD_PERMIT_KEYS_FILE",
    kind: text,
    value: "file",
    help: "file of keys for permits, one per line; SIGHUP reads it again",
  },
  linkKeys: {
    env: "UPLOAD_LINK_KEYS",
    secret: true,
    kind: list,
    value: "list",
    help: "keys for signed links, separated by commas: the first signs, all verify",
  },
  linkKeysFile: {
    env: "UPLOAD_LINK_KEYS_FILE",
    kind: text,
    value: "file",
    help: "file of keys for signed links, one per line; SIGHUP reads it again",
  },
  open: {
    env: "UPLOAD_OPEN",
    kind: yesNo,
    defaultText: "no",
    value: "yes|no",
    help: "yes allows uploads without a token",
  },
  reads: {
    env: "UPLOAD_READS",
    kind: choice("public", "signed"),
    defaultText: "public",
    value: "public|signed",
    help: "who may read: public: everybody with a link; signed: who has a signed link, or a token that may read",
  },
  types: {
    env: "UPLOAD_TYPES",
    kind: types,
    value: "list",
    help: "types of files that are accepted, separated by commas: image/*, application/pdf, .docx; default all",
  },
  revealExisting: {
    env: "UPLOAD_REVEAL_EXISTING",
    kind: yesNo,
    value: "yes|no",
    help: "whether answers to uploads show that the content was already stored; default yes, and no if reads are signed",
  },
  hosts: {
    env: "UPLOAD_HOSTS",
    kind: hosts,
    value: "list",
    help: "host names of a server without tokens, separated by commas; IP addresses and localhost are always accepted",
  },
  corsOrigins: {
    env: "UPLOAD_CORS_ORIGINS",
    kind: origins,
    value: "list",
    help: "origins whose pages may use the service, separated by commas, or *",
  },
  trustedProxies: {
    env: "UPLOAD_TRUSTED_PROXIES",
    kind: addressRanges,
    value: "list",
    help: "addresses or ranges (10.0.0.0/8) of proxies in front, separated by commas; their X-Forwarded-For identifies clients",
  },
};
