import type { Admission } from "../core/admissions.ts";
import type { Fixity } from "../core/fixity.ts";
import type { SeenUpload } from "../core/uploads/seen-upload.ts";
import type { Grant, Identity } from "./access.ts";
import type { Exchange } from "./exchange.ts";
import type { ResolvedHandlerOptions } from "./options.ts";

/** A request that the service has admitted, and everything a route needs to answer it. */
export interface AdmittedRequest {
  readonly fixity: Fixity;
  readonly options: ResolvedHandlerOptions;
  readonly exchange: Exchange;
  /**
   * The request's place among the running work. Closing the service interrupts the request's body
   * through it.
   */
  readonly admission: Admission;
  /** The parameters after the `?` of the target. */
  readonly query: Query;
  /** The same as text. */
  readonly rawQuery: string;
  /** The client's network, for limits per client; `null` for a client without such limits. */
  readonly client: string | null;
  /** Who sends the request. */
  readonly identity: Identity;
}

/** A request that may do what it asks for. */
export interface AuthorizedRequest extends AdmittedRequest, Grant {
  /** The resumable upload that the request is to, as its record was read for the decision. */
  readonly seen: SeenUpload | undefined;
}

/**
 * The parameters of a target. They are parsed only if a parameter is asked for that may be there:
 * most requests have none, or only those of a signed link.
 */
export class Query {
  readonly #text: string;
  readonly #hasEscapes: boolean;
  #parameters: URLSearchParams | null = null;

  /** @param text without `?` */
  constructor(text: string) {
    this.#text = text;
    this.#hasEscapes = /[%+]/.test(text);
  }

  has(name: string): boolean {
    return this.#mayHave(name) && this.#parsed.has(name);
  }

  get(name: string): string | null {
    return this.#mayHave(name) ? this.#parsed.get(name) : null;
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.#parsed.entries();
  }

  #mayHave(name: string): boolean {
    return this.#hasEscapes || this.#text.includes(name);
  }

  get #parsed(): URLSearchParams {
    this.#parameters ??= new URLSearchParams(this.#text);
    return this.#parameters;
  }
}
