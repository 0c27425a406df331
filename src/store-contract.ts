import "./core/require-supported-node.ts";
export type * from "./index.ts";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DocumentStore } from "./core/document-store.ts";
import type { UploadStore } from "./core/upload-store.ts";
import type { ContractPlace, Need, Rule, RuleContext, StoreContractOptions } from "./stores/contract/contract-place.ts";
import { DIRECT_RULES } from "./stores/contract/direct-rules.ts";
import { DOCUMENT_RULES } from "./stores/contract/document-rules.ts";
import { FILE_RULES } from "./stores/contract/file-rules.ts";
import { READING_RULES } from "./stores/contract/reading-rules.ts";
import { REMOVING_RULES } from "./stores/contract/removing-rules.ts";
import { REPLACING_RULES } from "./stores/contract/replacing-rules.ts";
import { SHARING_RULES } from "./stores/contract/sharing-rules.ts";
import { STAGING_RULES } from "./stores/contract/staging-rules.ts";
import { UPLOAD_ENDING_RULES } from "./stores/contract/upload-ending-rules.ts";
import { UPLOAD_HOLDING_RULES } from "./stores/contract/upload-holding-rules.ts";
import { UPLOAD_SAVING_RULES } from "./stores/contract/upload-saving-rules.ts";

export type { ContractCapability, ContractPlace, StoreContractOptions } from "./stores/contract/contract-place.ts";

/** A rule that takes longer hangs. */
const RULE_TIMEOUT_MS = 60_000;

const RULES: readonly Rule[] = [
  ...STAGING_RULES,
  ...FILE_RULES,
  ...READING_RULES,
  ...REMOVING_RULES,
  ...REPLACING_RULES,
  ...SHARING_RULES,
  ...DIRECT_RULES,
  ...UPLOAD_SAVING_RULES,
  ...UPLOAD_ENDING_RULES,
  ...UPLOAD_HOLDING_RULES,
  ...DOCUMENT_RULES,
];

/**
 * Registers the contract of `BlobStore` as tests of `node:test`. Every store passes it; run it on
 * yours:
 *
 *     storeContract("my store", async () => ({ store: myStore(await emptyPlace()) }));
 *
 * @param makePlace makes an empty place with a store over it. Called once for each rule
 */
export function storeContract(
  name: string,
  makePlace: () => Promise<ContractPlace>,
  options: StoreContractOptions = {},
): void {
  const { cannot = {}, largest = 5 * 1024 ** 2 + 3, concurrency = 1 } = options;
  void describe(`the store contract: ${name}`, { concurrency }, () => {
    for (const rule of RULES) {
      const skip = rule.capability === undefined ? false : (cannot[rule.capability] ?? false);
      void test(rule.name, { skip, timeout: RULE_TIMEOUT_MS }, async (context) => {
        const missing = await keepRule(rule, await makePlace(), largest);
        if (missing !== null) context.skip(`the place or its store has no "${missing}"`);
      });
    }
  });
}

/** What a rule needs from the store, and not from its place. */
const NEEDS_OF_STORE: ReadonlySet<Need> = new Set([
  "uploads",
  "documents",
  "filePath",
  "presign",
  "listPrefix",
  "stageFile",
]);

/** Runs a rule. Returns what it needs and the place lacks, or `null`. */
async function keepRule(rule: Rule, place: ContractPlace, largest: number): Promise<Need | null> {
  try {
    const missing = rule.needs?.find((need) => !has(place, need));
    if (missing !== undefined) return missing;
    await rule.run(contextOf(place, largest));
    assert.equal((await place.leftovers?.()) ?? 0, 0, "nothing half-written is left behind");
    return null;
  } finally {
    await place.store[Symbol.asyncDispose]();
    await place.cleanup?.();
  }
}

function has(place: ContractPlace, need: Need): boolean {
  return Reflect.get(NEEDS_OF_STORE.has(need) ? place.store : place, need) !== undefined;
}

/** A rule that calls a member without naming it in `needs` fails. */
function contextOf(place: ContractPlace, largest: number): RuleContext {
  const missing = () => assert.fail("the rule uses what it does not name in needs");
  return {
    store: place.store,
    another: place.another ?? missing,
    damage: place.damage ?? missing,
    corrupt: place.corrupt ?? missing,
    abandon: place.abandon ?? missing,
    get folder(): string {
      return place.folder ?? missing();
    },
    get uploads(): UploadStore {
      return place.store.uploads ?? missing();
    },
    get documents(): DocumentStore {
      return place.store.documents ?? missing();
    },
    largest,
  };
}
