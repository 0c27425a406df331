import { test } from "node:test";
import { proveFencing } from "./scripted-fencing.ts";

test("an append whose upload another instance takes and completes is refused at whatever request", async (t) => {
  t.diagnostic((await proveFencing("completes it")).join(" "));
});
