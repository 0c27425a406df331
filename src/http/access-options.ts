import type { Action, Principal } from "../access/principal.ts";
import type { Digest } from "../core/digest.ts";
import type { Link } from "../core/link.ts";
import type { SeenUpload } from "../core/uploads/seen-upload.ts";
import type { Exchange } from "./exchange.ts";

/** What a request asks for, for {@link AccessOptions.authorize}. */
export interface AccessRequest<Context = unknown> {
  /** What the request wants to do. */
  readonly action: Action;
  /** Who sends it. */
  readonly principal: Principal;
  /** What the handler's option `context` returned for the request. */
  readonly context: Context;
  /** The request, independent of the server: its method, target and fields. */
  readonly exchange: Exchange;
  /** The link that is read or removed, or whose content is uploaded. */
  readonly link: Link | null;
  /** The resumable upload that the request is to; `null` if there is none, or it is somebody else's. */
  readonly upload: Pick<SeenUpload, "id" | "owner" | "name" | "extension" | "length" | "offset"> | null;
  /** The size of the file to be uploaded, if it is announced, in bytes. */
  readonly size: number | null;
  /** The media type that the file's link will have, if it is known before the content. */
  readonly type: string | null;
  /** The file's name, if it is known before the content. */
  readonly name: string | null;
}

/**
 * The answer of {@link AccessOptions.authorize}: nothing or `true` allows the request, `false`
 * refuses it, a {@link Denial} refuses it in a certain way, and a {@link Narrowing} allows less.
 */
export type Decision = Denial | Narrowing | boolean | null | undefined | void;

/** Refuses a request. */
export interface Denial {
  /** 401 asks for credentials, 403 refuses whatever the credentials, 404 denies that there is anything. */
  readonly deny: 401 | 403 | 404;
  /** The text for the client. */
  readonly message?: string;
}

/** Allows a request within limits, in addition to those of the service and of the principal. */
export interface Narrowing {
  /** The largest size of the file, in bytes. Holds up to the last byte. */
  readonly maxSize?: number;
  /** Media types, ranges (`image/*`) and extensions (`.docx`) that the file may have. */
  readonly types?: readonly string[];
  /** The digest that the file must have: `sha256:<hex>`. */
  readonly digest?: Digest | string;
  /**
   * When the permission ends: for an upload, when its last byte must have arrived; for a read, until
   * when a browser may keep the response.
   */
  readonly expires?: Date;
  /** A value of up to 4 KiB of JSON that is kept with the upload, for `onStored`. */
  readonly keep?: unknown;
}

/** A user of the embedding app. */
export interface AppPrincipal {
  /** Identifies the user: uploads belong to this name. 1 to 128 characters. */
  readonly name: string;
  /** @default everything but `remove` */
  readonly may?: readonly Action[];
  readonly limits?: {
    /** Bytes of a file. */
    readonly maxSize?: number;
    /** As in {@link Narrowing.types}. */
    readonly types?: readonly string[];
    /** Unfinished resumable uploads. */
    readonly maxOpen?: number;
    /** Requests at the same time. */
    readonly maxRequests?: number;
    /** Bytes uploaded within 24 hours. */
    readonly maxBytesPerDay?: number;
  };
}

/** Who may do what. A part of the handler's options. */
export interface AccessOptions<Context = unknown> {
  /**
   * Finds the user that a request belongs to; `null` for none. Their uploads are their own: for others
   * they do not exist.
   *
   * @default none: principals come from `tokens` and permits alone
   */
  principal?(context: Context): AppPrincipal | null | Promise<AppPrincipal | null>;
  /**
   * Allows, refuses or narrows a request, before any content is read, served or removed, and again
   * for every append. It may also throw a `FixityError` `unauthorized` or `forbidden`.
   *
   * @default what the principal may do
   */
  authorize?(request: AccessRequest<Context>): Decision | Promise<Decision>;
  /**
   * Tokens that programs send as `Authorization: Bearer …`, or as the password of
   * `Authorization: Basic …`: `name=secret`, optionally followed by rights and limits (docs/access.md).
   *
   * @default none
   */
  readonly tokens?: readonly string[];
  /**
   * What requests without credentials may do where there are tokens, permits or principals: `read`
   * where reads are public, or also `upload`.
   *
   * @default "read"
   */
  readonly anonymous?: "read" | "upload";
}
