import { BasePlugin, type Body, type Meta, type PluginOpts, type Uppy, type UppyFile } from "@uppy/core";
import { filterFilesToEmitUploadStarted, filterFilesToUpload } from "@uppy/core/utils";
import {
  type Client,
  type ClientHeaders,
  type ClientOptions,
  createClient,
  type RetryWait,
  type UploadResult,
} from "../client.ts";
import { FileUpload } from "./file-upload.ts";

/**
 * The options of the client, and Uppy's `id` and `locale`. `setOptions` changes `headers` and
 * `locale` later.
 */
export interface FixityOptions extends PluginOpts, ClientOptions {}

/** `file.response.body` after an upload: the client's result. */
// a mapped type, because Uppy accepts no interface as a body
export type FixityBody = Pick<UploadResult, keyof UploadResult>;

declare module "@uppy/core" {
  // the type of `uppy.getPlugin("Fixity")`
  export interface PluginTypeRegistry<M extends Meta, B extends Body> {
    Fixity: Fixity<M, B>;
  }
  export interface UppyEventMap<M extends Meta, B extends Body> {
    /**
     * A request of a file's upload failed, and the next attempt has not begun; with `null`, it
     * begins now. There is no `upload-progress` meanwhile.
     */
    "fixity-waiting": (file: UppyFile<M, B>, wait: RetryWait | null) => void;
  }
}

const DEFAULT_LOCALE = {
  strings: {
    /** While a `prepare` function runs. */
    fixityPreparing: "Preparing",
    /** While a file is hashed and nothing of it is sent. */
    fixityHashing: "Checking whether it is already stored",
    fixityNoRemoteFiles: "Files from other services cannot be uploaded here",
    fixityNoContent: "Choose this file again: its content is no longer available",
  },
};

/** What exists while the plugin is installed. */
interface Installation<M extends Meta, B extends Body> {
  readonly client: Client;
  readonly uploads: RunningUploads<M, B>;
}

/**
 * An uploader for Uppy: `uppy.use(Fixity, { endpoint: "/uploads" })`. Uploads survive
 * interruptions, also a reload of the page, and content that the server has is not sent again.
 */
export class Fixity<M extends Meta, B extends Body> extends BasePlugin<FixityOptions, M, B> {
  #installation: Installation<M, B> | null = null;

  constructor(uppy: Uppy<M, B>, options: FixityOptions) {
    super(uppy, options);
    this.type = "uploader";
    this.id = options.id ?? "Fixity";
    this.defaultLocale = DEFAULT_LOCALE;
    this.i18nInit();
  }

  /** @throws FixityClientError `invalid-option` */
  override install(): void {
    const { id: _id, locale: _locale, ...options } = this.opts;
    const client = createClient({ ...options, headers: () => headersOf(this.opts.headers) });
    this.#installation = { client, uploads: new RunningUploads(this.uppy) };
    this.#setResumable(true);
    this.uppy.addUploader(this.#upload);
  }

  /** Running uploads fail. Another plugin of this kind can resume them. */
  override uninstall(): void {
    this.uppy.removeUploader(this.#upload);
    this.#setResumable(false);
    this.#installation?.uploads.close();
    this.#installation?.client.close();
    this.#installation = null;
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
    // a listener of `upload-start` may have removed the file or the plugin
    if (file === undefined || this.#installation === null) return;
    const content = file.isRemote ? null : (file.data ?? null);
    if (content === null) {
      const error = new Error(this.i18n(file.isRemote ? "fixityNoRemoteFiles" : "fixityNoContent"));
      this.uppy.emit("upload-error", file, error);
      return;
    }
    const { client, uploads } = this.#installation;
    const messages = { preparing: this.i18n("fixityPreparing"), hashing: this.i18n("fixityHashing") };
    await uploads.track(id, new FileUpload(file, { uppy: this.uppy, client, content, messages }));
  }
}

async function headersOf(headers: ClientHeaders = {}): Promise<Readonly<Record<string, string>>> {
  return typeof headers === "function" ? headers() : headers;
}

/**
 * The running uploads, which Uppy's events pause, resume and cancel. There is one listener for all
 * of them: with one for each file, as Uppy's `EventManager` has it, the work for many files grows
 * with the square of their number.
 */
class RunningUploads<M extends Meta, B extends Body> {
  readonly #uploads = new Map<string, FileUpload<M, B>>();
  readonly #uppy: Uppy<M, B>;

  readonly #onPause = (file: UppyFile<M, B> | undefined, isPaused: boolean): void => {
    const upload = this.#uploads.get(file?.id ?? "");
    if (isPaused) upload?.pause();
    else upload?.resume();
  };
  readonly #onPauseAll = (): void => this.#uploads.forEach((upload) => upload.pause());
  readonly #onResumeAll = (): void => this.#uploads.forEach((upload) => upload.resume());
  readonly #onRemoved = ({ id }: UppyFile<M, B>): void => this.#cancel(id);
  readonly #onCancelAll = (): void => [...this.#uploads.keys()].forEach((id) => this.#cancel(id));

  constructor(uppy: Uppy<M, B>) {
    this.#uppy = uppy;
    uppy.on("upload-pause", this.#onPause);
    uppy.on("pause-all", this.#onPauseAll);
    uppy.on("resume-all", this.#onResumeAll);
    uppy.on("file-removed", this.#onRemoved);
    uppy.on("cancel-all", this.#onCancelAll);
  }

  /** Controls an upload until it has ended. */
  async track(id: string, upload: FileUpload<M, B>): Promise<void> {
    this.#uploads.set(id, upload);
    await upload.ended();
    // a file that was removed and added again has another upload by now
    if (this.#uploads.get(id) === upload) this.#uploads.delete(id);
  }

  /** Stops listening to Uppy. */
  close(): void {
    this.#uppy.off("upload-pause", this.#onPause);
    this.#uppy.off("pause-all", this.#onPauseAll);
    this.#uppy.off("resume-all", this.#onResumeAll);
    this.#uppy.off("file-removed", this.#onRemoved);
    this.#uppy.off("cancel-all", this.#onCancelAll);
  }

  #cancel(id: string): void {
    this.#uploads.get(id)?.cancel();
    this.#uploads.delete(id);
  }
}
