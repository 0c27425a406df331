/**
 * A service with a hook over a disk store: `node hook-child.ts <folder> <log of the hook>`. It
 * creates an upload and prints its id; for a line of input it sends the whole content, prints
 * `acknowledged`, and ends. The hook appends the key of each call to its log.
 */
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createFixity } from "../../src/index.ts";
import { diskStore } from "../../src/disk.ts";
import { HOOKED_CONTENT } from "./hooked-content.ts";

const [, , root = "", log = ""] = process.argv;
await using store = diskStore({ root });
const fixity = createFixity({ store, onStored: (_receipt, { key }) => appendFileSync(log, `${key}\n`) });
const upload = await fixity.uploads?.create({ length: HOOKED_CONTENT.length });
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
process.stdout.write(`${upload?.id.hex}\n`);
await input.next();
if (upload !== undefined) {
  const content = { offset: 0, source: [Buffer.from(HOOKED_CONTENT)], completes: true };
  await fixity.uploads?.append(upload.id, content);
}
process.stdout.write("acknowledged\n");
process.stdin.destroy();
