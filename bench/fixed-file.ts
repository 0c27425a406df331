import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";

const BLOCK = Buffer.alloc(1024 * 1024, "fixity");

/** Writes a file of the benchmark's fixed content and returns its path under `/uploads`. */
export async function createFixedFile(root: string, size: number): Promise<string> {
  await using file = await open(join(root, "fixed.bin"), "w");
  for (let at = 0; at < size; at += BLOCK.length) await file.write(BLOCK);
  return "/uploads/fixed.bin";
}

/** Uploads the same content to fixity, as a raw `PUT` to its link. */
export async function uploadFixed(port: number, size: number): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < size; at += BLOCK.length) hash.update(BLOCK);
  const path = `/uploads/${hash.digest("hex")}.bin`;
  const body = new ReadableStream({
    pull(controller) {
      if (size <= 0) return controller.close();
      controller.enqueue(BLOCK);
      size -= BLOCK.length;
    },
  });
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "PUT",
    body,
    duplex: "half",
  });
  if (!response.ok) throw new Error(`answered ${response.status}: ${await response.text()}`);
  return path;
}
