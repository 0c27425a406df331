import assert from "node:assert/strict";
import { sha256 } from "../helpers/service.ts";
import type { StoreFolder } from "../helpers/store-folder.ts";
import { pathOf, targetOf, type TracedCall } from "../helpers/trace.ts";

const WRITES: ReadonlySet<string> = new Set(["write", "writev", "pwrite64", "pwritev"]);
const FLUSHES: ReadonlySet<string> = new Set(["fsync", "fdatasync"]);
const PUBLICATIONS: ReadonlySet<string> = new Set(["link", "linkat", "rename", "renameat", "renameat2"]);
const SENDS: ReadonlySet<string> = new Set(["write", "writev", "sendto", "sendmsg"]);

/** What a server did between the first byte of an upload and its answer, seen from the kernel. */
export class UploadTrace {
  readonly #calls: readonly TracedCall[];
  readonly #folder: StoreFolder;

  constructor(calls: readonly TracedCall[], folder: StoreFolder) {
    this.#calls = calls;
    this.#folder = folder;
  }

  /** Every flush, of whatever. */
  get flushes(): TracedCall[] {
    return this.#calls.filter(({ name }) => FLUSHES.has(name));
  }

  /** The call that gave the content its name among the blobs, or `null`. */
  publicationOf(content: Buffer): TracedCall | null {
    const found = this.publicationsOf(content);
    assert.ok(found.length <= 1, "published once");
    return found[0] ?? null;
  }

  /** All calls that gave content its name among the blobs, in their order. */
  publicationsOf(content: Buffer): readonly TracedCall[] {
    const place = this.#folder.blob(sha256(content));
    return this.#calls.filter((call) => PUBLICATIONS.has(call.name) && call.result === 0 && targetOf(call) === place);
  }

  /** The call that sent the first byte of the final answer with this status and, where it has one, link. */
  answer(status: number, content?: Buffer): TracedCall {
    const link = content === undefined ? "" : `Location: /uploads/${sha256(content)}`;
    const found = this.#calls.filter(
      ({ name, args }) => SENDS.has(name) && args.includes(`"HTTP/1.1 ${status} `) && args.includes(link),
    );
    return only(found, `answers with ${status}`);
  }

  /** The first of all answers that acknowledge an upload. */
  firstAnswer(): TracedCall {
    const found = this.#calls.find(({ name, args }) => SENDS.has(name) && /"HTTP\/1\.1 20[01] /.test(args));
    assert.ok(found);
    return found;
  }

  /** The call that took the content's name away. */
  removalOf(content: Buffer): TracedCall {
    const place = this.#folder.blob(sha256(content));
    const found = this.#calls.filter((call) => call.name.startsWith("unlink") && call.args.includes(`"${place}"`));
    return only(found, "removals");
  }

  /**
   * Asserts the order in which a new blob becomes durable: every byte written, the file flushed, published, its folder
   * flushed, and the folder above where the folder is new; only then the answer.
   */
  assertDurableBefore(answer: TracedCall, content: Buffer): void {
    const publication = this.publicationOf(content);
    assert.ok(publication, "the blob is published");
    const staging = pathOf(publication) ?? "";
    const writes = this.#calls.filter((call) => WRITES.has(call.name) && pathOf(call) === staging);
    const written = writes.reduce((sum, { result }) => sum + (result ?? 0), 0);
    assert.equal(written, content.length, "all bytes are written before the answer, and none twice");
    const lastWrite = Math.max(-1, ...writes.map(({ ended }) => ended));
    const flushed = this.#flushesOf(staging).find(({ began, ended }) => lastWrite < began && ended < publication.began);
    assert.ok(flushed, "the file is flushed after the last write and before its publication");
    this.assertFolderFlushed({ since: publication, before: answer, content });
  }

  /** Asserts that each of the files and folders was flushed before one call, and after another where one is given. */
  assertFlushed(paths: readonly string[], { since, before }: { since?: TracedCall; before: TracedCall }): void {
    for (const path of paths) {
      const flushed = this.#flushesOf(path).some(
        ({ began, ended }) => (since === undefined || since.ended < began) && ended < before.began,
      );
      assert.ok(flushed, `${path} is flushed${since === undefined ? "" : ` after ${since.name}`}, before the answer`);
    }
  }

  /** Asserts that after `since` the entry of a blob was flushed, and where its folder was made, that one's as well. */
  assertFolderFlushed(step: {
    readonly since: TracedCall;
    readonly before: TracedCall;
    readonly content: Buffer;
  }): void {
    const fanOut = this.#folder.fanOut(sha256(step.content));
    this.assertFlushed([fanOut], step);
    const made = this.#calls.find(
      ({ name, args, result }) => name.startsWith("mkdir") && args.includes(`"${fanOut}"`) && result === 0,
    );
    if (made !== undefined) this.assertFlushed([this.#folder.blobs], { since: made, before: step.before });
  }

  /** Asserts that no blob was opened for writing: published bytes do not change. */
  assertBlobsUntouched(): void {
    const opened = this.#calls.filter(
      ({ name, args }) => name === "openat" && args.includes(`"${this.#folder.blobs}/`) && /O_WRONLY|O_RDWR/.test(args),
    );
    assert.deepEqual(opened, []);
  }

  /** Flushes of one file or folder that did not fail. */
  #flushesOf(path: string): TracedCall[] {
    return this.flushes.filter((call) => call.result === 0 && pathOf(call) === path);
  }
}

/** The only one of `found`. */
function only<T>(found: readonly T[], what: string): T {
  const [first] = found;
  assert.ok(first !== undefined && found.length === 1, `${what}: ${found.length}, not one`);
  return first;
}
