import assert from "node:assert/strict";
import { test } from "node:test";
import * as en from "./en.ts";
import { loadLanguage } from "./language.ts";

const LANGUAGES = ["ar", "de", "es", "fr", "ja", "pt", "zh"];

const placeholders = (text: string): readonly string[] => (text.match(/%?\{\w+\}/g) ?? []).toSorted();

test("each translation has every text, with the placeholders of the English one", async () => {
  for (const lang of LANGUAGES) {
    const { lang: loaded, texts, dashboard } = await loadLanguage([lang]);
    assert.equal(loaded, lang);
    for (const [own, english] of [
      [texts, en.texts],
      [dashboard, en.dashboard],
    ] as readonly (readonly Record<string, string>[])[]) {
      assert.deepEqual(Object.keys(own ?? {}), Object.keys(english ?? {}), lang);
      for (const [key, text] of Object.entries(english ?? {})) {
        assert.deepEqual(placeholders(own?.[key] ?? ""), placeholders(text), `${lang}: ${key}`);
      }
    }
  }
});

test("the first preferred language that exists is used, and English if none does", async () => {
  const chosen = async (...preferred: readonly string[]): Promise<string> => (await loadLanguage(preferred)).lang;
  assert.equal(await chosen("it-IT", "pt-PT", "de"), "pt");
  assert.equal(await chosen("zh-Hant-TW", "ja"), "ja");
  assert.equal(await chosen("zh-Hans-CN"), "zh");
  assert.equal(await chosen("en-GB", "de"), "en");
  for (const odd of [[], ["__proto__"], ["constructor"], [""], ["*"]]) assert.equal(await chosen(...odd), "en");
});
