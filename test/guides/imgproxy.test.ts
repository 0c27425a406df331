/** docs/guides/imgproxy.md: the URL is one that imgproxy 4.0.12 has accepted. imgproxy itself is not part of the tests. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Guide } from "../helpers/guide.ts";

const LINK = "http://127.0.0.1:19100/uploads/fb44c3902a3be91e794db6963731fd3759b27cb703395b4fd5e232a05f8c9ff7.png";

test("thumbnails have the URLs that imgproxy expects", async () => {
  await using guide = await Guide.open("imgproxy");
  const print = `console.log(thumbnail(${JSON.stringify(LINK)}));`;
  await writeFile(join(guide.folder, "thumbnail.ts"), `${guide.code("// thumbnail")}\n${print}`);
  const env = { IMGPROXY_KEY: "736563726574", IMGPROXY_SALT: "68656c6c6f" };
  const { out, err } = await guide.shell(`'${process.execPath}' thumbnail.ts`, env);
  assert.equal(err, "");
  assert.equal(
    out.trim(),
    "https://images.example.com/ETe9-tq-nCDBhQwNQyWKBLhw53SaySkskKSBCbJPJ7w/rs:fit:320:240/aHR0cDovLzEyNy4wLjAuMToxOTEwMC91cGxvYWRzL2ZiNDRjMzkwMmEzYmU5MWU3OTRkYjY5NjM3MzFmZDM3NTliMjdjYjcwMzM5NWI0ZmQ1ZTIzMmEwNWY4YzlmZjcucG5n.webp",
  );
});
