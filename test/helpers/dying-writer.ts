/**
 * A process that dies during an upload: `node dying-writer.ts <store folder>` stages two megabytes,
 * more than a store buffers, so that some of them are in a file, and then kills itself.
 */
import { diskStore } from "../../src/disk.ts";

const [, , root = ""] = process.argv;
const staged = await diskStore({ root }).stage();
for (let n = 0; n < 4; n += 1) await staged.write(new Uint8Array(512 * 1024));
process.kill(process.pid, "SIGKILL");
