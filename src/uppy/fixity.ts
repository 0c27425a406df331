import { BasePlugin, type Body, type Meta, type PluginOpts, type Uppy, type UppyFile } from "@uppy/core";
import { filterFilesToEmitUploadStarted, filterFilesToUpload } from "@uppy/core/utils";
import { createClient } from "../client.ts";
import type { Client, ClientHeaders, ClientOptions, UploadResult } from "../client/types.ts";
import { FileUpload } from "./file-upload.ts";

/** Options of the plugin: those of the client, whose docstrings tell of each. `headers` may be changed by `setOptions`. */
export interface FixityOptions extends PluginOpts, ClientOptions {}

/** What `file.response.body` is after an upload: what the server says of the file, `existed`, and `sent`. */
export type FixityBody = UploadResult & Record<string, unknown>;

const TEXTS = {
  strings: {
    /** While a file is hashed, before anything of it is sent. */
    fixityHashing: "Looking whether it is stored already",
    fixityNoRemoteFiles: "Files of other services cannot be uploaded here",
    fixityNoContent: "Choose this file again: its content is gone",
  },
};

/**
 * An uploader for Uppy: `uppy.use(Fixity, { endpoint: "/uploads" })`. Files are resumed after anything, also by a page that
 * was loaded anew; what the server has is not sent again.
 */
export class Fixity<M extends Meta, B extends Body> extends BasePlugin<FixityOptions, M, B> {
  #client: Client | null = null;

  constructor(uppy: Uppy<M, B>, options: FixityOptions) {
    super(uppy, options);
    this.type = "uploader";
    this.id = options.id ?? "Fixity";
    this.defaultLocale = TEXTS;
    this.i18nInit();
  }

  override install(): void {
    const { id: _id, locale: _locale, ...options } = this.opts;
    this.#client = createClient({ ...options, headers: () => headersOf(this.opts.headers) });
    this.#setResumable(true);
    this.uppy.addUploader(this.#upload);
  }

  override uninstall(): void {
    this.uppy.removeUploader(this.#upload);
    this.#setResumable(false);
    this.#client?.close();
    this.#client = null;
  }

  #setResumable(resumableUploads: boolean): void {
    const { capabilities } = this.uppy.getState();
    this.uppy.setState({ capabilities: { ...capabilities, resumableUploads } });
  }

  readonly #upload = async (ids: string[]): Promise<void> => {
    const client = this.#client;
    if (client === null) return;
    const files = filterFilesToUpload(this.uppy.getFilesByIds(ids));
    this.uppy.emit("upload-start", filterFilesToEmitUploadStarted(files));
    await Promise.all(files.map((file) => this.#uploadFile(client, file)));
  };

  async #uploadFile(client: Client, file: UppyFile<M, B>): Promise<void> {
    const content = file.isRemote ? null : (file.data ?? null);
    if (content === null) {
      const error = new Error(this.i18n(file.isRemote ? "fixityNoRemoteFiles" : "fixityNoContent"));
      this.uppy.emit("upload-error", file, error);
      return;
    }
    const says = { hashing: this.i18n("fixityHashing") };
    await new FileUpload({ uppy: this.uppy, client, file, content, says }).run();
  }
}

async function headersOf(headers: ClientHeaders = {}): Promise<Readonly<Record<string, string>>> {
  return typeof headers === "function" ? headers() : headers;
}
