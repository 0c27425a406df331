/**
 * Who sends a request, and whether it may do what it asks for. docs/decisions/0015 has the reasons.
 *
 *     identify   before routing: the principal of the request, and the embedder's context
 *     authorize  once the route is known, and before conditions, `Expect`, ranges and the store:
 *                the principal's rights, then the embedder's hook, which may deny or narrow
 *
 * For a request to an upload, `authorize` follows one read of the upload's record, which names the
 * owner. The result is a {@link Grant}: what routes pass on to the service and what they may let
 * caches keep.
 */
import type { PermitPrincipal } from "../access/permits.ts";
import { PrincipalLimiter, type PrincipalLimits } from "../access/principal-limiter.ts";
import {
  type Action,
  ALL_ACTIONS,
  ANONYMOUS,
  owns,
  type Principal,
  PRINCIPAL_NAME_MAX_LENGTH,
  READ_ACTIONS,
  UPLOAD_ACTIONS,
} from "../access/principal.ts";
import type { TokenSet } from "../access/tokens.ts";
import { TypeList } from "../access/type-list.ts";
import { Digest } from "../core/digest.ts";
import { FixityError } from "../core/errors.ts";
import type { Fixity } from "../core/fixity.ts";
import type { Link } from "../core/link.ts";
import type { Reads } from "../core/options.ts";
import { uploadNotFound } from "../core/upload-id.ts";
import type { UploadTerms } from "../core/upload-terms.ts";
import type { SeenUpload } from "../core/uploads/seen-upload.ts";
import type { AccessOptions, AccessRequest, AppPrincipal, Decision, Denial, Narrowing } from "./access-options.ts";
import type { Exchange } from "./exchange.ts";
import { basicPassword, bearerToken } from "./fields/authorization.ts";
import { Unauthorized } from "./problem.ts";
import type { QueryMaker } from "./view/snippets.ts";

/** Who sends a request. */
export interface Identity {
  readonly principal: Principal;
  /** What the embedder's `context` returned; `null` without one. */
  readonly context: unknown;
  /** Why the request's credentials were not accepted. The principal is anonymous then. */
  readonly refusal: FixityError | null;
}

/** What a request is about. */
export interface Subject {
  readonly action: Action;
  readonly exchange: Exchange;
  readonly link: Link | null;
  /** The raw query of the target, without its question mark. */
  readonly query: string;
  /** The upload that the request is to; `missing` if there is none, `null` if it is to something else. */
  readonly upload: SeenUpload | "missing" | null;
  readonly size: number | null;
  readonly type: string | null;
  readonly name: string | null;
}

type Context = ((...native: readonly never[]) => unknown) | undefined;

/** What a request was allowed to do. */
export interface Grant {
  /** For uploads. */
  readonly terms: UploadTerms;
  /** For reads. */
  readonly reading: Reading;
}

/** How a blob may be read. */
export interface Reading {
  /** Everybody with the link may read it, so shared caches may keep it. */
  readonly isPublic: boolean;
  /** Until when private caches may keep it, in milliseconds since 1970; `null` for not at all. */
  readonly expires: number | null;
  /** Makes the queries of other links to the same file, valid for as long; `null` if they need none. */
  readonly sign: QueryMaker | null;
}

const PUBLIC_READING: Reading = { isPublic: true, expires: null, sign: null };

/** The most bytes of what an embedder keeps with an upload, as JSON. */
const KEPT_MAX_BYTES = 4096;

const BEARER_CHALLENGE = "Bearer";

/** The access rules of one handler. */
export class Access {
  readonly reads: Reads;
  readonly limiter: PrincipalLimits;
  readonly #options: AccessOptions;
  readonly #context: Context;
  readonly #fixity: Fixity;
  readonly #tokens: () => TokenSet | null;

  /** @throws FixityError `invalid-option` */
  constructor(
    fixity: Fixity,
    options: AccessOptions & { readonly context?: Context; readonly limiter?: PrincipalLimits },
    tokens: () => TokenSet | null,
  ) {
    this.limiter = options.limiter ?? new PrincipalLimiter();
    this.#fixity = fixity;
    this.#options = options;
    this.#context = options.context;
    this.#tokens = tokens;
    this.reads = fixity.reads;
    if (this.reads === "app" && options.authorize === undefined && options.principal === undefined) {
      throw new FixityError("invalid-option", 'reads: "app" needs the option principal or authorize.');
    }
  }

  /** Whether the embedder has a hook, which wants to know what a request is about. */
  get asks(): boolean {
    return this.#options.authorize !== undefined;
  }

  /** Whether a browser may have added the credentials by itself, as it does for Basic authentication. */
  isFromBrowserCredentials({ fields }: Exchange): boolean {
    return this.#hasCredentials && basicPassword(fields.get("authorization")) !== null;
  }

  /**
   * Finds out who sends a request.
   *
   * @throws what the embedder's functions throw
   */
  async identify(exchange: Exchange): Promise<Identity> {
    const context = this.#context === undefined ? null : await this.#context(...(exchange.native as readonly never[]));
    const user = (await this.#options.principal?.(context)) ?? null;
    if (user !== null) return { principal: appPrincipal(user), context, refusal: null };
    const found = this.#credentialsOf(exchange);
    if (found instanceof FixityError) return { principal: this.#anonymous, context, refusal: found };
    return { principal: found ?? this.#anonymous, context, refusal: null };
  }

  /**
   * Refuses credentials with which no upload could begin: so a page can check a token without
   * uploading anything.
   *
   * @throws FixityError `unauthorized`, `forbidden`
   */
  assertCredentials(exchange: Exchange): void {
    const found = this.#credentialsOf(exchange);
    if (found instanceof FixityError) throw found;
    if (found !== null && !this.#may(found, "create")) throw forbidden(`${describe(found)} may not create.`);
  }

  /**
   * Refuses what the principal may never do, whatever it is about: before an upload's record is
   * read.
   *
   * @throws FixityError `unauthorized`, `forbidden`
   */
  assertMay({ principal, refusal }: Identity, action: Action): void {
    if (this.#may(principal, action)) return;
    if (refusal !== null) throw refusal;
    if (principal.kind !== "anonymous") throw forbidden(`${describe(principal)} may not ${action}.`);
    if (action === "remove" && !this.#hasPrincipals) throw forbidden("This service does not remove files.");
    throw unauthorized("Send a token: Authorization: Bearer <token>.");
  }

  /**
   * Decides about a request.
   *
   * @throws FixityError `unauthorized`, `forbidden`, `link-expired`, and `…not-found` where a
   *   resource must not be seen
   */
  async authorize(identity: Identity, subject: Subject): Promise<Grant> {
    const { principal, context } = identity;
    const { action, exchange, link, size, type, name } = subject;
    const upload = typeof subject.upload === "object" ? subject.upload : null;
    // An upload of somebody else is like one that does not exist, also in what the hook learns.
    const own = upload !== null && owns(principal, upload.owner) ? upload : null;
    const reading = this.#reading(identity, subject);
    if (reading === null) this.assertMay(identity, action);
    const narrowing = await this.#ask(
      { action, principal, context, exchange, link, upload: own, size, type, name },
      subject,
    );
    if (subject.upload !== null && own === null) throw uploadNotFound();
    return {
      terms: termsOf(identity, narrowing, exchange.id),
      reading: narrowedReading(reading ?? PUBLIC_READING, narrowing),
    };
  }

  /**
   * Redeems a permit for one upload before the first byte; `null` for other principals. The caller
   * undoes it if nothing was stored.
   *
   * @throws FixityError `permit-used`, or a `store-…` code
   */
  async redeem({ principal }: Identity, action: Action): Promise<{ undo(): Promise<void> } | null> {
    const { permit } = principal as Partial<PermitPrincipal>;
    if (permit === undefined || !permit.once || action !== "create") return null;
    return (await this.#fixity.permits?.redeem(this.#fixity.store.documents, permit)) ?? null;
  }

  /** How a blob may be read; `null` if the principal's own rights decide, or if it is not read. */
  #reading(identity: Identity, { action, link, query }: Subject): Reading | null {
    if (link === null || !READ_ACTIONS.includes(action)) return null;
    if (this.reads === "public") return PUBLIC_READING;
    const signer = this.reads === "signed" ? this.#fixity.links : null;
    const isSigned = signer !== null && /(?:^|&)signature=/.test(query);
    if (!isSigned) {
      // Without the right, a link that is not signed must look like one that leads nowhere.
      if (signer !== null && !this.#may(identity.principal, action)) throw identity.refusal ?? notStored();
      this.assertMay(identity, action);
      return { isPublic: false, expires: null, sign: null };
    }
    const verified = signer.verify(link, query, Date.now());
    if (verified === "expired") throw new FixityError("link-expired", "This link has expired. Ask for a new one.");
    if (verified === "invalid") throw notStored();
    const { expires } = verified;
    return {
      isPublic: false,
      expires,
      sign: (other, { filename, download = false }) =>
        `?${signer.sign(other, { expires, download, ...(filename !== null && { filename }) })}`,
    };
  }

  /** @throws FixityError if the embedder's hook refuses the request */
  async #ask(request: AccessRequest, subject: Subject): Promise<Narrowing> {
    const decision = await this.#decide(request);
    if (decision === undefined || decision === null || decision === true) return {};
    const isAnonymous = request.principal.kind === "anonymous";
    const denial: Denial | Narrowing = decision === false ? { deny: isAnonymous ? 401 : 403 } : decision;
    if (typeof denial !== "object" || !("deny" in denial)) return checkedNarrowing(denial);
    if (denial.deny === 401) throw unauthorized(denial.message ?? "Sign in first.");
    if (denial.deny === 403) throw forbidden(denial.message ?? "This is not allowed.");
    throw notFoundFor(subject);
  }

  async #decide(request: AccessRequest): Promise<Decision> {
    try {
      return await this.#options.authorize?.(request);
    } catch (error) {
      const lacksChallenge =
        error instanceof FixityError && error.code === "unauthorized" && !(error instanceof Unauthorized);
      throw lacksChallenge ? new Unauthorized(error.message, BEARER_CHALLENGE, error) : error;
    }
  }

  #may({ may }: Principal, action: Action): boolean {
    return may.has(action) || (this.reads === "public" && READ_ACTIONS.includes(action));
  }

  /** The principal that a request's credentials name; an error if they name none, `null` without any. */
  #credentialsOf({ fields }: Exchange): Principal | FixityError | null {
    if (!this.#hasCredentials) return null;
    const field = fields.get("authorization");
    if (field === undefined) return null;
    const secret = bearerToken(field) ?? basicPassword(field);
    if (secret === null) return unauthorized("Send a token: Authorization: Bearer <token>.");
    const found = this.#fixity.permits?.principalOf(secret, Date.now()) ?? this.#tokens()?.principalOf(secret) ?? null;
    if (found === "expired") return unauthorized("The token or permit has expired.");
    return found ?? unauthorized("The token is not valid here.");
  }

  /** Whether requests can bring credentials of fixity's own. */
  get #hasCredentials(): boolean {
    return this.#tokens() !== null || this.#fixity.permits !== null;
  }

  get #hasPrincipals(): boolean {
    return this.#hasCredentials || this.#options.principal !== undefined;
  }

  get #anonymous(): Principal {
    if (this.#hasPrincipals && this.#options.anonymous !== "upload") return MAY_NOTHING;
    // Without principals, the hook decides about everything.
    return !this.#hasPrincipals && this.asks ? MAY_EVERYTHING : MAY_UPLOAD;
  }
}

/** What anonymous principals may do besides reading what is public. */
const MAY_NOTHING = anonymous([]);
const MAY_UPLOAD = anonymous(UPLOAD_ACTIONS);
const MAY_EVERYTHING = anonymous(ALL_ACTIONS);

function anonymous(may: readonly Action[]): Principal {
  return { ...ANONYMOUS, may: new Set(may), limits: {} };
}

/** @throws FixityError `internal-error` for what is no principal */
function appPrincipal({ name, may, limits = {} }: AppPrincipal): Principal {
  if (typeof name !== "string" || name === "" || name.length > PRINCIPAL_NAME_MAX_LENGTH) {
    throw mistakeIn(`principal must return a name of 1 to ${PRINCIPAL_NAME_MAX_LENGTH} characters`);
  }
  const { types, ...others } = limits;
  for (const [limit, value] of Object.entries(others)) {
    if (value !== undefined && !(value >= 0))
      throw mistakeIn(`principal returned the limit ${limit}, which is no number`);
  }
  return {
    kind: "app",
    name,
    may: new Set(may ?? [...UPLOAD_ACTIONS, ...READ_ACTIONS]),
    limits: { ...others, ...(types !== undefined && { types: TypeList.parse(types) }) },
  };
}

/** The terms of an upload: the limits of its principal, and what the embedder's hook has narrowed. */
function termsOf({ principal, context }: Identity, narrowing: Narrowing, requestId: string): UploadTerms {
  const { kind, name, limits } = principal;
  const given = narrowing.digest === undefined ? undefined : digestOf(narrowing.digest);
  if (given !== undefined && limits.digest?.equals(given) === false) {
    throw forbidden("This permission is for other content.");
  }
  const types = narrowing.types === undefined ? limits.types : TypeList.parse(narrowing.types).and(limits.types);
  return {
    owner: { kind, name },
    maxSize: smaller(limits.maxSize, narrowing.maxSize),
    types,
    digest: limits.digest ?? given,
    expires: smaller(limits.expires, narrowing.expires?.getTime()),
    maxOpen: limits.maxOpen,
    kept: keptText(narrowing.keep),
    context,
    requestId,
  };
}

const NARROWING_MEMBERS: ReadonlySet<string> = new Set(["maxSize", "types", "digest", "expires", "keep"]);

/**
 * A mistake in the embedder's hook must not allow more than it meant.
 *
 * @throws FixityError `internal-error`
 */
function checkedNarrowing(decision: unknown): Narrowing {
  if (typeof decision !== "object" || decision === null || decision instanceof Promise) {
    throw mistakeIn("authorize must return a decision, a boolean or nothing");
  }
  const unknown = Object.keys(decision).find((name) => !NARROWING_MEMBERS.has(name));
  if (unknown !== undefined) throw mistakeIn(`authorize returned the unknown member ${JSON.stringify(unknown)}`);
  const { maxSize, expires } = decision as Narrowing;
  if (maxSize !== undefined && !(typeof maxSize === "number" && maxSize >= 0)) {
    throw mistakeIn("authorize returned a maxSize that is no number of bytes");
  }
  if (expires !== undefined && !(expires instanceof Date && !Number.isNaN(expires.getTime()))) {
    throw mistakeIn("authorize returned an expires that is no valid Date");
  }
  return decision;
}

/** A mistake of the embedder: the log has it, and the client does not. */
function mistakeIn(what: string): FixityError {
  return new FixityError("internal-error", "Something went wrong on our side.", { cause: new Error(what) });
}

function digestOf(digest: Digest | string): Digest {
  return typeof digest === "string" ? Digest.parse(digest) : digest;
}

function smaller(first: number | undefined, second: number | undefined): number | undefined {
  return first === undefined || second === undefined ? (first ?? second) : Math.min(first, second);
}

/** @throws FixityError `internal-error` for what is no JSON, or too long */
function keptText(value: unknown): string | null {
  if (value === undefined) return null;
  const text = JSON.stringify(value) as string | undefined;
  if (text !== undefined && Buffer.byteLength(text) <= KEPT_MAX_BYTES) return text;
  throw mistakeIn(`authorize must return a keep of at most ${KEPT_MAX_BYTES} bytes as JSON`);
}

function narrowedReading(reading: Reading, { expires }: Narrowing): Reading {
  if (reading.isPublic || expires === undefined) return reading;
  return { ...reading, expires: Math.min(reading.expires ?? Infinity, expires.getTime()) };
}

function unauthorized(message: string): FixityError {
  return new Unauthorized(message, BEARER_CHALLENGE);
}

function forbidden(message: string): FixityError {
  return new FixityError("forbidden", message);
}

/** Denies that there is anything, as if there were nothing. */
function notFoundFor({ upload, link }: Subject): FixityError {
  if (upload !== null) return uploadNotFound();
  return link === null ? new FixityError("not-found", "There is nothing at this URL.") : notStored();
}

/** Nothing is stored under a link. */
export function notStored(): FixityError {
  return new FixityError("blob-not-found", "No file is stored under this link, or it has been removed.");
}

/** For messages: `The token ci`. */
function describe({ kind, name }: Principal): string {
  return kind === "app" ? "This user" : `The ${kind} ${name}`;
}
