import { BasePlugin, type Body, type Meta, type PluginOpts, type Uppy, type UppyFile } from "@uppy/core";
import { filterFilesToEmitUploadStarted, filterFilesToUpload } from "@uppy/core/utils";
import { createClient } from "../client.ts";
import type { Client, ClientHeaders, ClientOptions, UploadResult } from "../client/types.ts";
import { FileUpload } from "./file-upload.ts";
import { Running } from "./running.ts";

/**
 * Options of the plugin: those of the client, whose docstrings tell of each, and Uppy's `id` and `locale`. Of them, `headers` and
 * `locale` may be changed later (`setOptions`).
 */
export interface FixityOptions extends PluginOpts, ClientOptions {}

// Uppy takes no interface for a body, but a type that is made of one
/** What `file.response.body` is after an upload: what the server says of the file, `existed`, and `sent`. */
export type FixityBody = Pick<UploadResult, keyof UploadResult>;

declare module "@uppy/core" {
  // what `uppy.getPlugin("Fixity")` gives
  export interface PluginTypeRegistry<M extends Meta, B extends Body> {
    Fixity: Fixity<M, B>;
  }
}

const TEXTS = {
  strings: {
    /** While a file is hashed, and nothing of it is sent. */
    fixityHashing: "Looking whether it is stored already",
    fixityNoRemoteFiles: "Files of other services cannot be uploaded here",
    fixityNoContent: "Choose this file again: its content is gone",
  },
};

/** What is there while the plugin is part of an Uppy. */
interface Installed<M extends Meta, B extends Body> {
  readonly client: Client;
  readonly running: Running<M, B>;
}

/**
 * An uploader for Uppy: `uppy.use(Fixity, { endpoint: "/uploads" })`. Files are resumed after anything, also by a page that
 * was loaded anew; what the server has is not sent again.
 */
export class Fixity<M extends Meta, B extends Body> extends BasePlugin<FixityOptions, M, B> {
  #installed: Installed<M, B> | null = null;

  constructor(uppy: Uppy<M, B>, options: FixityOptions) {
    super(uppy, options);
    this.type = "uploader";
    this.id = options.id ?? "Fixity";
    this.defaultLocale = TEXTS;
    this.i18nInit();
  }

  /** @throws FixityClientError `invalid-option` */
  override install(): void {
    const { id: _id, locale: _locale, ...options } = this.opts;
    const client = createClient({ ...options, headers: () => headersOf(this.opts.headers) });
    this.#installed = { client, running: new Running(this.uppy) };
    this.#setResumable(true);
    this.uppy.addUploader(this.#upload);
  }

  /** What is under way fails, and can be gone on with by another plugin of this kind. */
  override uninstall(): void {
    this.uppy.removeUploader(this.#upload);
    this.#setResumable(false);
    this.#installed?.running.close();
    this.#installed?.client.close();
    this.#installed = null;
  }

  #setResumable(resumableUploads: boolean): void {
    const { capabilities } = this.uppy.getState();
    this.uppy.setState({ capabilities: { ...capabilities, resumableUploads, individualCancellation: true } });
  }

  readonly #upload = async (ids: string[]): Promise<void> => {
    const files = filterFilesToUpload(this.uppy.getFilesByIds(ids));
    this.uppy.emit("upload-start", filterFilesToEmitUploadStarted(files));
    await Promise.all(files.map(({ id }) => this.#uploadFile(id)));
  };

  async #uploadFile(id: string): Promise<void> {
    const file: UppyFile<M, B> | undefined = this.uppy.getFile(id);
    // who listens to the start may have taken away the file, or the plugin
    if (file === undefined || this.#installed === null) return;
    const content = file.isRemote ? null : (file.data ?? null);
    if (content === null) {
      const error = new Error(this.i18n(file.isRemote ? "fixityNoRemoteFiles" : "fixityNoContent"));
      this.uppy.emit("upload-error", file, error);
      return;
    }
    const { client, running } = this.#installed;
    const says = { hashing: this.i18n("fixityHashing") };
    await running.see(id, new FileUpload({ uppy: this.uppy, client, file, content, says }));
  }
}

async function headersOf(headers: ClientHeaders = {}): Promise<Readonly<Record<string, string>>> {
  return typeof headers === "function" ? headers() : headers;
}
