import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { sourceChanged } from "../errors.ts";
import type { Hashing } from "../platform.ts";
import { abortion } from "../service.ts";
import { BytesContent } from "./bytes-content.ts";

/** SHA-256 by Node, between the reads of the file: at a GB/s and more, a chunk is no wait for anybody. */
export const nodeHashing: Hashing = {
  async digest(content, { signal, onHashed }) {
    const hash = createHash("sha256");
    if (content instanceof BytesContent && content.isShort) return hash.update(content.bytes).digest("hex");
    let hashed = 0;
    try {
      for await (const chunk of content.stream()) {
        if (signal.aborted) throw abortion(signal);
        hash.update(chunk);
        hashed += chunk.length;
        onHashed(hashed);
        // what is in memory already would be hashed to its end before anybody else gets a turn
        await setImmediate();
      }
    } catch (cause) {
      throw sourceChanged(cause);
    }
    return hash.digest("hex");
  },
  running() {
    const hash = createHash("sha256");
    return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex"), drop: () => undefined };
  },
  close: () => undefined,
};
