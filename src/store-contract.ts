import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ContractPlace, Rule, RuleContext, StoreContractOptions } from "./stores/contract/contract-place.ts";
import { READING_RULES } from "./stores/contract/reading-rules.ts";
import { REMOVING_RULES } from "./stores/contract/removing-rules.ts";
import { SHARING_RULES } from "./stores/contract/sharing-rules.ts";
import { STAGING_RULES } from "./stores/contract/staging-rules.ts";

export type { ContractCapability, ContractPlace, StoreContractOptions } from "./stores/contract/contract-place.ts";

/** A rule that takes longer has hung: a minute. */
const TIMEOUT = 60_000;

/**
 * Registers the contract of `BlobStore` as tests of `node:test`. Every store passes it; run it on your own:
 *
 *     storeContract("my store", async () => ({ store: myStore(await emptyPlace()) }));
 *
 * @param makePlace makes an empty place with a store over it; called once for each rule
 */
export function storeContract(
  name: string,
  makePlace: () => Promise<ContractPlace>,
  options: StoreContractOptions = {},
): void {
  const { cannot = {}, largest = 5 * 1024 ** 2 + 3 } = options;
  void describe(`the store contract: ${name}`, () => {
    for (const rule of [...STAGING_RULES, ...READING_RULES, ...REMOVING_RULES, ...SHARING_RULES]) {
      const skip = rule.capability === undefined ? false : (cannot[rule.capability] ?? false);
      void test(rule.name, { skip, timeout: TIMEOUT }, async (context) => {
        const missing = await keepRule(rule, await makePlace(), largest);
        if (missing !== null) context.skip(`the place has no "${missing}"`);
      });
    }
  });
}

/** Runs a rule; the member of the place that it needs and lacks, or `null`. */
async function keepRule(rule: Rule, place: ContractPlace, largest: number): Promise<string | null> {
  try {
    const missing = rule.needs?.find((member) => place[member] === undefined);
    if (missing !== undefined) return missing;
    await rule.run(contextOf(place, largest));
    assert.equal((await place.leftovers?.()) ?? 0, 0, "nothing half-written is left behind");
    return null;
  } finally {
    await place.store[Symbol.asyncDispose]();
    await place.cleanup?.();
  }
}

/** What a rule does not need it does not call. */
function contextOf(place: ContractPlace, largest: number): RuleContext {
  const missing = () => assert.fail("the rule uses what it does not name in needs");
  return {
    store: place.store,
    another: place.another ?? missing,
    damage: place.damage ?? missing,
    abandon: place.abandon ?? missing,
    largest,
  };
}
