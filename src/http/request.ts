import type { Admission } from "../core/admissions.ts";
import type { Fixity } from "../core/fixity.ts";
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
  /** The client's network, for limits per client; `null` for a client without such limits. */
  readonly client: string | null;
}

/** The parameters of a target. */
export type Query = Pick<URLSearchParams, "get" | "has" | typeof Symbol.iterator>;
