/** No engine makes code of an uploaded file, from whatever page, as whatever kind of code, and with a copy in its cache. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { attemptCode, ATTEMPTS, type Attempt } from "./code-attempts.ts";
import { type App, startApp } from "./code-sites.ts";
import { type Engine, ENGINES, needingEngine, startEngine } from "./engines.ts";

const SELF = "default-src 'self'; script-src 'self'";

interface Code {
  readonly script: string;
  readonly style: string;
  readonly xslt: string;
}

/** The attempts that succeed on a page, each in a page of its own. */
async function succeeding(engine: Engine, page: string, code: Code, isCached = false): Promise<readonly Attempt[]> {
  const succeeded: Attempt[] = [];
  for (const attempt of ATTEMPTS) {
    await engine.goto(page);
    const { script, style, xslt } = code;
    const xml = new URL(`/page.xml?sheet=${encodeURIComponent(xslt)}`, page).href;
    if (await engine.evaluate(attemptCode, { attempt, script, style, xml, isCached })) succeeded.push(attempt);
  }
  return succeeded;
}

const onOrigin = ({ links, origin }: App): Code => ({
  script: origin + links.script,
  style: origin + links.style,
  xslt: origin + links.xslt,
});

for (const name of ENGINES) {
  void describe(`uploaded files in ${name}`, needingEngine(name), () => {
    test("every attempt works with an app's own files, so that the other tests can fail", async () => {
      await using engine = await startEngine(name);
      await using app = await startApp();
      const own = { script: `${app.origin}/own.js`, style: `${app.origin}/own.css`, xslt: `${app.origin}/own.xsl` };
      assert.deepEqual(await succeeding(engine, app.origin, own), ATTEMPTS);
    });

    for (const policy of [undefined, SELF]) {
      test(`an app that embeds fixity, ${policy ?? "without a policy"}`, async () => {
        await using engine = await startEngine(name);
        await using app = await startApp(policy === undefined ? {} : { policy });
        for (const isCached of [false, true]) {
          assert.deepEqual(await succeeding(engine, app.origin, onOrigin(app), isCached), []);
        }
      });
    }

    test("with scripts, files are scripts and style sheets of pages, and nothing else", async () => {
      await using engine = await startEngine(name);
      await using app = await startApp({ scripts: true });
      const allowed = ["import map", "script", "module", "import()", "style sheet", "@import"];
      for (const isCached of [false, true]) {
        assert.deepEqual(await succeeding(engine, app.origin, onOrigin(app), isCached), allowed);
      }
    });

    test("a page of another origin", async () => {
      await using engine = await startEngine(name);
      await using app = await startApp();
      await using foreign = await startApp();
      for (const isCached of [false, true]) {
        assert.deepEqual(await succeeding(engine, foreign.origin, onOrigin(app), isCached), []);
      }
    });
  });
}
