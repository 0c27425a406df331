import { createReadStream } from "node:fs";
import { createFixity, Digest, FixityError } from "fixity";
import { diskStore } from "fixity/disk";

const fixity = createFixity({ store: diskStore({ root: process.env.UPLOAD_DIR ?? "./data" }) });

// Accepts any async iterable of bytes, hashes it on the way, and resolves when it is durable.
const stored = await fixity.put(createReadStream(process.argv[1]!), { filename: "example.ts" });
console.log(stored.url, stored.size, stored.existed ? "was there" : "is new");

await using reader = await fixity.open(stored.digest);
for await (const bytes of reader!) process.stdout.write(bytes.subarray(0, 40));
console.log("…", (await fixity.verify(stored.digest))?.intact);

// Bytes that do not match their declared digest are refused, and nothing is stored.
try {
  await fixity.put(Buffer.from("something"), { digest: Digest.parse("0".repeat(64)) });
} catch (error) {
  if (error instanceof FixityError) console.log(error.code);
}
