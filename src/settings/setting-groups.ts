import type { Settings } from "./settings.ts";

/** The settings of one subject. */
export interface SettingGroup {
  /** As a heading: "Listening". */
  readonly title: string;
  /** One or two sentences of Markdown, below the heading in the reference. */
  readonly about: string;
  /**
   * The settings in their order, each with the place in `docs/` that explains it; `null` if its help
   * says everything.
   */
  readonly settings: { readonly [Name in keyof Settings]?: string | null };
}

const GROUPS = [
  {
    title: "Listening",
    about: "Where the server listens, and the URL at which clients reach it.",
    settings: {
      host: null,
      port: null,
      workers: "scaling.md#many-cores-on-one-machine",
      prefix: "http.md",
      publicUrl: "http.md#uploading",
      trustedProxies: "operations.md#limits-per-client",
    },
  },
  {
    title: "Access",
    about:
      "Who may upload and read. Without tokens, permit keys and `UPLOAD_OPEN` the server is in [local mode](http.md#local-mode).",
    settings: {
      open: "http.md#local-mode",
      tokens: "access.md#tokens",
      tokensFile: "operations.md#tokens-and-keys",
      permitKeys: "access.md#permits",
      permitKeysFile: "operations.md#tokens-and-keys",
      reads: "access.md#private-links",
      linkKeys: "access.md#private-links",
      linkKeysFile: "operations.md#tokens-and-keys",
      revealExisting: "access.md#whether-content-existed",
      hosts: "http.md#local-mode",
      corsOrigins: "http.md#from-browsers-of-other-origins",
    },
  },
  {
    title: "Store on disk",
    about: "The folder that holds the files, unless there is a [bucket](#s3).",
    settings: {
      dir: "storage.md#the-folder",
      dirGroup: "storage.md#who-can-read-the-folder",
      durability: "storage.md#how-an-upload-becomes-durable",
    },
  },
  {
    title: "S3",
    about: "A bucket that holds the files: [s3.md](s3.md). `fixity doctor` finds out what its provider can do.",
    settings: {
      bucketName: "s3.md",
      bucketRegion: "s3.md",
      bucketEndpoint: "s3.md",
      bucketPublicEndpoint: "delegated-download.md#by-the-bucket-redirect",
      bucketAccessKey: "s3.md",
      bucketSecretKey: "s3.md",
      bucketSessionToken: "s3.md",
      bucketAccessKeyFile: "s3.md",
      bucketSecretKeyFile: "s3.md",
      bucketSessionTokenFile: "s3.md",
      bucketPrefix: "s3.md",
      bucketPathStyle: "s3.md",
      bucketPartSize: "s3.md#what-an-upload-costs",
      bucketEqualParts: "s3.md#providers",
      bucketMaxParts: "s3.md#providers",
      memory: "s3.md#what-an-upload-costs",
    },
  },
  {
    title: "Uploads",
    about: "What may be uploaded, and how slowly. A token or permit may [allow less](access.md#limits-per-principal).",
    settings: {
      maxSize: "http.md#uploading",
      types: "access.md#tokens",
      idleTimeout: "http.md#uploading",
      minRate: "http.md#uploading",
      rateWindow: "http.md#uploading",
    },
  },
  {
    title: "Resumable uploads",
    about: "The limits and the protocol of [resumable uploads](resumable.md).",
    settings: {
      maxOpen: "resumable.md#limits",
      expiry: "resumable.md#limits",
      minAppendSize: "resumable.md#limits",
      maxAppendSize: "resumable.md#limits",
      interimResponses: "resumable.md#behind-a-proxy",
    },
  },
  {
    title: "Reading",
    about: "How files are verified and sent.",
    settings: {
      verifyReads: "verification.md#when-a-file-is-verified",
      cache: "storage.md#small-blobs-in-memory",
      downloads: "delegated-download.md",
      redirectLifetime: "delegated-download.md#by-the-bucket-redirect",
      scripts: "http.md#files-are-not-code",
      view: "http.md#the-page-of-a-link",
      cacheTags: "caching.md#tags",
    },
  },
  {
    title: "Events",
    about: "A webhook that learns what was stored, removed, found damaged and repaired: [events.md](events.md).",
    settings: {
      webhookUrl: "events.md#turn-them-on",
      webhookSecret: "events.md#turn-them-on",
      webhookSecretFile: "operations.md#tokens-and-keys",
    },
  },
  {
    title: "Log, metrics and stop",
    about: "What the server writes to its standard output and measures, and how it ends.",
    settings: {
      metricsPort: "metrics.md",
      metricsHost: "metrics.md#who-may-scrape",
      logLevel: null,
      logFormat: null,
      drainDelay: "operations.md#health-checks",
      shutdownTimeout: "operations.md#stopping-a-server",
    },
  },
] as const satisfies readonly SettingGroup[];

type NamesIn<Group> = Group extends { readonly settings: infer Names } ? keyof Names : never;
type Ungrouped = Exclude<keyof Settings, NamesIn<(typeof GROUPS)[number]>>;

/**
 * All settings in groups, for the help of the commands and for `docs/settings.md`, which `npm run
 * docs:settings` writes. This does not compile if a setting is in no group; a test compares the page.
 */
export const SETTING_GROUPS: readonly SettingGroup[] = GROUPS satisfies [Ungrouped] extends [never]
  ? readonly SettingGroup[]
  : Ungrouped;
