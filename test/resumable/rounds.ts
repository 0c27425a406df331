/**
 * Uploads whose connections break, whose server is killed, and that move between instances, many
 * times: no reported offset ever decreases, and in the end the link serves the bytes that were sent.
 */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { Random } from "../helpers/random.ts";
import type { ServerProcess } from "../helpers/server-process.ts";
import { sha256 } from "../helpers/service.ts";

const MIB = 1024 * 1024;

export interface RoundsOptions {
  readonly rounds: number;
  /** Starts an instance over the one store. */
  readonly start: () => Promise<ServerProcess>;
  /** Bytes of the largest file. @default 24 MiB */
  readonly largest?: number;
}

/** Two instances over one store. A killed one is started again when it is needed. */
class Instances implements AsyncDisposable {
  readonly #start: () => Promise<ServerProcess>;
  readonly #running: (ServerProcess | null)[] = [null, null];
  kills = 0;

  constructor(start: () => Promise<ServerProcess>) {
    this.#start = start;
  }

  async get(index: number): Promise<ServerProcess> {
    const running = this.#running[index] ?? (await this.#start());
    this.#running[index] = running;
    return running;
  }

  async kill(index: number): Promise<void> {
    this.kills += 1;
    const running = this.#running[index];
    this.#running[index] = null;
    await running?.stop("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running) await running?.[Symbol.asyncDispose]();
  }
}

interface Answered {
  readonly status: number;
  readonly field: (name: string) => string | undefined;
}

/** What interrupts an append. */
type Mishap = "none" | "cut" | "kill";

/** Runs the rounds. The error of a failed one contains the seed. */
export async function resumeRounds({ rounds, start, largest = 24 * MIB }: RoundsOptions): Promise<void> {
  const random = new Random();
  const content = random.bytes(largest + MIB);
  await using instances = new Instances(start);
  const tally = { cut: 0, kill: 0, none: 0 };
  for (let round = 0; round < rounds; round += 1) {
    try {
      const size = random.integer(0, random.integer(0, 3) === 0 ? 100_000 : largest);
      const begin = random.integer(0, MIB);
      await new Round({ bytes: content.subarray(begin, begin + size), instances, random, tally }).run();
    } catch (cause) {
      throw new Error(`round ${round} of TEST_SEED=${random.seed} failed`, { cause });
    }
  }
  assert.ok(rounds < 20 || (tally.cut > 0 && tally.kill > 0 && tally.none > 0), JSON.stringify(tally));
}

interface RoundOptions {
  readonly bytes: Buffer;
  readonly instances: Instances;
  readonly random: Random;
  readonly tally: Record<Mishap, number>;
}

class Round {
  readonly #bytes: Buffer;
  readonly #instances: Instances;
  readonly #random: Random;
  readonly #tally: Record<Mishap, number>;
  /** The largest offset reported so far. */
  #reported = 0;

  constructor({ bytes, instances, random, tally }: RoundOptions) {
    this.#bytes = bytes;
    this.#instances = instances;
    this.#random = random;
    this.#tally = tally;
  }

  #pick(bound: number): number {
    return this.#random.integer(0, bound - 1);
  }

  async run(): Promise<void> {
    const declares = this.#pick(2) === 0;
    const at = await this.#create(declares);
    let link: string | undefined;
    for (let steps = 0; link === undefined; steps += 1) {
      assert.ok(steps < 200, "the upload never completes");
      const { offset, completed } = await this.#ask(at);
      assert.ok(offset >= this.#reported, `${offset} was reported after ${this.#reported}`);
      this.#reported = offset;
      link = completed ?? (await this.#append(at, offset));
    }
    const server = await this.#instances.get(this.#pick(2));
    const read = await fetch(server.url + link);
    assert.equal(read.status, 200);
    const found = Buffer.from(await read.arrayBuffer());
    assert.equal(sha256(found), sha256(this.#bytes), `${found.length} of ${this.#bytes.length} bytes`);
    assert.equal(link, `/uploads/${sha256(this.#bytes)}`);
  }

  async #create(declares: boolean): Promise<string> {
    const server = await this.#instances.get(this.#pick(2));
    const isTus = this.#pick(2) === 0;
    const metadata = declares ? { "Upload-Metadata": `sha256 ${btoa(sha256(this.#bytes))}` } : {};
    const digest = Buffer.from(sha256(this.#bytes), "hex").toString("base64");
    const answer = await fetch(`${server.url}/uploads`, {
      method: "POST",
      headers: isTus
        ? {
            "Tus-Resumable": "1.0.0",
            ...metadata,
            ...(this.#bytes.length === 0
              ? { "Upload-Defer-Length": "1" }
              : { "Upload-Length": String(this.#bytes.length) }),
          }
        : { "Upload-Complete": "?0", ...(declares && { "Repr-Digest": `sha-256=:${digest}:` }) },
    });
    const location = answer.headers.get("location") ?? "";
    if (/in-progress/.test(location)) return location;
    // another round has stored the same bytes, by chance
    assert.equal(answer.status, 200);
    return this.#create(false);
  }

  async #ask(at: string): Promise<{ offset: number; completed: string | undefined }> {
    const server = await this.#instances.get(this.#pick(2));
    const answer = await fetch(server.url + at, { method: "HEAD" });
    assert.ok([200, 204].includes(answer.status), `HEAD: ${answer.status}`);
    const offset = Number(answer.headers.get("upload-offset"));
    return { offset, completed: answer.headers.get("content-location") ?? undefined };
  }

  /** Sends some of the bytes from an offset on. @returns the link, if that completed the upload */
  async #append(at: string, offset: number): Promise<string | undefined> {
    const rest = this.#bytes.length - offset;
    const length = Math.min(rest, this.#pick(3) === 0 ? rest : this.#pick(20 * MIB));
    const mishap = (["none", "none", "cut", "kill"] as const)[this.#pick(4)] ?? "none";
    this.#tally[mishap] += 1;
    const index = this.#pick(2);
    const server = await this.#instances.get(index);
    const isLast = length === rest && (rest > 0 || this.#pick(2) === 0);
    const stopAfter = mishap === "none" ? Infinity : this.#pick(length + 1);
    const kill = mishap === "kill" ? () => this.#instances.kill(index) : null;
    const answer = await send(server.url + at, {
      fields: this.#fields(offset, isLast),
      bytes: this.#bytes.subarray(offset, offset + length),
      stopAfter,
      kill,
    });
    if (answer === null) return undefined;
    assert.ok(answer.status < 300 || answer.status === 409, `PATCH: ${answer.status}`);
    const told = Number(answer.field("upload-offset") ?? 0);
    this.#reported = Math.max(this.#reported, told);
    if (answer.status === 409 || !isLast) return undefined;
    return answer.field("content-location") ?? answer.field("location");
  }

  #fields(offset: number, isLast: boolean): Record<string, string> {
    // in tus, an upload of deferred length ends only when its length is declared
    if (this.#pick(2) === 0 && this.#bytes.length > 0) {
      return {
        "Tus-Resumable": "1.0.0",
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": String(offset),
        "Upload-Length": String(this.#bytes.length),
      };
    }
    return {
      "Content-Type": "application/partial-upload",
      "Upload-Offset": String(offset),
      "Upload-Complete": isLast ? "?1" : "?0",
    };
  }
}

interface Sending {
  readonly fields: Record<string, string>;
  readonly bytes: Buffer;
  /** The bytes after which the connection is cut or the server is killed. */
  readonly stopAfter: number;
  readonly kill: (() => Promise<void>) | null;
}

/** Sends a request. @returns `null` if there was no response */
async function send(url: string, { fields, bytes, stopAfter, kill }: Sending): Promise<Answered | null> {
  const { promise, resolve } = Promise.withResolvers<Answered | null>();
  const outgoing = request(url, { method: "PATCH", headers: { ...fields, "Content-Length": bytes.length } });
  outgoing.on("response", (answer) => {
    answer.resume();
    answer.on("error", () => resolve(null));
    answer.on("close", () => resolve(null));
    answer.on("end", () => {
      resolve({ status: answer.statusCode ?? 0, field: (name) => joined(answer.headers[name]) });
    });
  });
  outgoing.on("error", () => resolve(null));
  if (stopAfter === Infinity) {
    outgoing.end(bytes);
    return promise;
  }
  await new Promise<void>((sent) => {
    outgoing.on("error", () => sent());
    if (stopAfter === 0) outgoing.flushHeaders();
    outgoing.write(bytes.subarray(0, stopAfter), () => sent());
  });
  // while the server is processing it
  await sleep(randomInt(30));
  if (kill !== null) await kill();
  outgoing.destroy();
  return promise;
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}
