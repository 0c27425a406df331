import type { Digest } from "../core/digest.ts";
import type { TypeList } from "./type-list.ts";

/**
 * What a request wants to do: create an upload (a plain one, too), append to it, inspect or cancel
 * it; read a blob, view its page, or ask for its facts (`HEAD`); remove a blob.
 */
export type Action = "create" | "append" | "inspect" | "cancel" | "read" | "view" | "stat" | "remove";

/** The actions of somebody who uploads. */
export const UPLOAD_ACTIONS: readonly Action[] = ["create", "append", "inspect", "cancel"];

/** The actions of somebody who reads. */
export const READ_ACTIONS: readonly Action[] = ["read", "view", "stat"];

export const ALL_ACTIONS: readonly Action[] = [...UPLOAD_ACTIONS, ...READ_ACTIONS, "remove"];

/** Where a principal comes from: nowhere, a token, a permit, or the embedding app. */
export type PrincipalKind = "anonymous" | "token" | "permit" | "app";

/** Who sends a request, and what they may do. Made once per request, before routing. */
export interface Principal {
  /** Where the principal comes from. */
  readonly kind: PrincipalKind;
  /** Unique among the principals of its kind; 1 to 128 characters. */
  readonly name: string;
  /** The actions that it may perform. */
  readonly may: ReadonlySet<Action>;
  /** Bounds of its uploads and requests. */
  readonly limits: PrincipalLimits;
}

/** What the record of an upload keeps of its creator. */
export type Owner = Pick<Principal, "kind" | "name">;

export const PRINCIPAL_NAME_MAX_LENGTH = 128;

/** Limits of one principal, besides those of the service. */
export interface PrincipalLimits {
  /** The largest size of a file, in bytes. */
  readonly maxSize?: number | undefined;
  /** The types of files it may upload. */
  readonly types?: TypeList | undefined;
  /** The only content it may upload. */
  readonly digest?: Digest | undefined;
  /** When its rights end, in milliseconds since 1970. */
  readonly expires?: number | undefined;
  /** Unfinished resumable uploads. Counted by each instance. */
  readonly maxOpen?: number | undefined;
  /** Requests at the same time. Counted by each instance. */
  readonly maxRequests?: number | undefined;
  /** Bytes uploaded within 24 hours. Counted by each instance. */
  readonly maxBytesPerDay?: number | undefined;
}

/** The owner of what an anonymous principal uploads, and of uploads of older versions. */
export const ANONYMOUS: Owner = { kind: "anonymous", name: "anonymous" };

/** Whether uploads of `owner` exist for `principal`. */
export function owns(principal: Owner, owner: Owner): boolean {
  return owner.kind === "anonymous" || (owner.kind === principal.kind && owner.name === principal.name);
}
