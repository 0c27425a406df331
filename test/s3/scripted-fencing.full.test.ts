import { test } from "node:test";
import { proveFencing } from "./scripted-fencing.ts";

for (const successor of ["keeps it", "removes it"] as const) {
  test(`an append whose upload another instance takes and ${successor} is refused at whatever request`, async (t) => {
    t.diagnostic((await proveFencing(successor)).join(" "));
  });
}
