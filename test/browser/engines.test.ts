/** The upload page under its policy in every engine. Every page and kind of code: active-content.full.test.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isFullRun } from "../helpers/full-run.ts";
import { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { attemptCode, ATTEMPTS, SCRIPT, STYLE } from "./code-attempts.ts";
import { ENGINES, needingEngine, startEngine } from "./engines.ts";
import { startReportingProxy } from "./reporting-proxy.ts";

const MIB = 1024 ** 2;

/** Chooses a file in the page, and resolves to the first link of the list when it has so many. Runs in the browser. */
async function upload({ size, name, count }: { size: number; name: string; count: number }): Promise<string> {
  const chosen = new DataTransfer();
  chosen.items.add(new File([new Uint8Array(size).fill(count)], name));
  const changed = (): Promise<unknown> => new Promise((resolve) => requestAnimationFrame(resolve));
  let input: HTMLInputElement | null = null;
  while ((input = document.querySelector<HTMLInputElement>("input[name='files[]']")) === null) await changed();
  input.files = chosen.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  while (document.querySelectorAll(".file").length < count) await changed();
  return document.querySelector<HTMLAnchorElement>(".link")?.href ?? "";
}

/** Runs in the browser. */
async function store({ name, content }: { name: string; content: string }): Promise<string> {
  const response = await fetch(`/uploads?filename=${name}`, { method: "POST", body: content });
  return ((await response.json()) as { url: string }).url;
}

/** Runs in the browser; resolves to what could be done. */
function tryPolicies(names: readonly string[]): readonly string[] {
  interface Factory {
    createPolicy(name: string, rules: object): unknown;
  }
  const { trustedTypes } = globalThis as unknown as { trustedTypes?: Factory };
  return names.filter((name) => {
    try {
      trustedTypes?.createPolicy(name, { createScriptURL: (url: string) => url });
      return trustedTypes !== undefined;
    } catch {
      return false;
    }
  });
}

// Firefox and WebKit take half a minute, and a minute to install
for (const name of isFullRun ? ENGINES : (["chromium"] as const)) {
  void describe(`the upload page in ${name}`, needingEngine(name), () => {
    test("uploads, hashes in its worker and loads its language without a breach of its policy, and nothing uploaded becomes its code", async () => {
      await using folder = await StoreFolder.make();
      await using server = await ServerProcess.start({ dir: folder.path, env: { UPLOAD_DURABILITY: "none" } });
      await using proxy = await startReportingProxy(server.url);
      await using engine = await startEngine(name);
      await engine.goto(proxy.url);
      const small = await engine.evaluate(upload, { size: 1000, name: "small.bin", count: 1 });
      assert.equal(small, `${proxy.url}/uploads/${sha256(Buffer.alloc(1000, 1))}.bin`);
      const large = await engine.evaluate(upload, { size: 3 * MIB, name: "large.bin", count: 2 });
      assert.equal(large, `${proxy.url}/uploads/${sha256(Buffer.alloc(3 * MIB, 2))}.bin`);
      assert.ok(proxy.paths.some((path) => path.startsWith("/page/hash-worker-")));
      // its words are in a script that the first script loads
      assert.equal(await engine.evaluate(() => document.documentElement.lang, null), engine.language);
      // the first breach that is reported is one of the test's own
      await engine.evaluate(() => void (new Image().src = "data:,breach"), null);
      await proxy.reported("img-src");
      assert.equal(proxy.reports.length, 1, proxy.reports.join(", "));

      assert.deepEqual(await engine.evaluate(tryPolicies, ["default", "fixity-worker", "other"]), []);
      const script = await engine.evaluate(store, { name: "code.js", content: SCRIPT });
      const style = await engine.evaluate(store, { name: "code.css", content: STYLE });
      for (const attempt of ATTEMPTS) {
        const options = { attempt, script, style, xml: null, isCached: true };
        assert.equal(await engine.evaluate(attemptCode, options), false, attempt);
      }
      await engine.goto(`${proxy.url}${script}?view`);
      for (const attempt of ATTEMPTS) {
        const options = { attempt, script, style, xml: null, isCached: false };
        assert.equal(await engine.evaluate(attemptCode, options), false, `${attempt} from the page of the link`);
      }
    });
  });
}
