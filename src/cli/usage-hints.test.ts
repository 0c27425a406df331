import assert from "node:assert/strict";
import { test } from "node:test";
import { npmHint } from "./usage-hints.ts";

test("flags that npm has taken are noticed, and npm's own options are not", () => {
  const npm = { npm_lifecycle_event: "start", npm_config_cache: "/root/.npm", npm_config_prefix: "/usr" };
  const start = "With npm, put -- before flags: npm start --";
  assert.equal(npmHint(npm), null);
  assert.equal(npmHint({ npm_config_port: "8080" }), null);
  assert.equal(npmHint({ ...npm, npm_config_max_size: "1GiB" }), `${start} --max-size 1GiB`);
  // npm start --port 8080
  assert.equal(npmHint({ ...npm, npm_config_port: "true" }), `${start} --port …`);
});
