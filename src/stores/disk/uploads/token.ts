import { randomBytes } from "node:crypto";
import { newName, type Owner, ownerOf } from "../../../base/process-identity.ts";

/**
 * `<generation>-<state>-<name>`. A folder has one token, an empty file that is renamed: of all who want to change the state
 * that they have seen, one finds the old name there. Names are never used again, so that none is taken for a later one.
 */
const NAME = /^(\d{1,9})-(free|left|held|gone)-([0-9a-f-]+)$/;

/**
 * - `free`: nobody holds the upload, and all that it is said to have is durable.
 * - `left`: nobody holds it, and its last holder failed: what can be read need not be durable.
 * - `held`: somebody does. The name is `held` by a process.
 * - `gone`: it is being removed.
 */
type TokenState = "free" | "left" | "held" | "gone";

/** Who may write to an upload. */
export interface Token {
  /** The file's name. */
  readonly name: string;
  /** Of the record and the bytes that are written under this token; see `UploadFolder`. */
  readonly generation: number;
  readonly state: TokenState;
  /** The name of the hold. It is that of the process with a number of its own. */
  readonly holder: string;
  readonly owner: Owner | null;
}

/** `null` for a name that is not a token's. */
export function parseToken(name: string): Token | null {
  const [, generation, state, holder] = NAME.exec(name) ?? [];
  if (generation === undefined || state === undefined || holder === undefined) return null;
  return { name, generation: Number(generation), state: state as TokenState, holder, owner: ownerOf(holder) };
}

export function heldToken(generation: number, owner: Owner): Token {
  return makeToken(generation, "held", newName(owner));
}

export function restingToken(generation: number, state: "free" | "left" | "gone"): Token {
  return makeToken(generation, state, randomBytes(8).toString("hex"));
}

function makeToken(generation: number, state: TokenState, holder: string): Token {
  return { name: `${generation}-${state}-${holder}`, generation, state, holder, owner: ownerOf(holder) };
}
