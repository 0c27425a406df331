/** Programs that continue a broken download by a range: none of them ends with wrong bytes that it takes for complete. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { diskStore } from "../../src/disk.ts";
import { needingChromium, openBrowser } from "./browser.ts";
import { needing } from "../helpers/requirements.ts";
import { Service } from "../helpers/service.ts";
import { StoreFolder } from "../helpers/store-folder.ts";
import { flip } from "../verification/damaging.ts";

const SIZE = 20 * 1024 ** 2;

/** A service with one damaged file. */
class Place implements AsyncDisposable {
  readonly url: string;
  readonly folder: StoreFolder;
  readonly #stack: AsyncDisposableStack;

  private constructor(url: string, folder: StoreFolder, stack: AsyncDisposableStack) {
    this.url = url;
    this.folder = folder;
    this.#stack = stack;
  }

  static async make(): Promise<Place> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await StoreFolder.make());
    const store = stack.use(diskStore({ root: folder.path, durability: "none", log: () => null }));
    const service = stack.use(await Service.start({ store, log: () => null }));
    stack.defer(() => service.fixity.close());
    const { digest, url } = await service.fixity.put(randomBytes(SIZE), { extension: "bin" });
    await flip(folder.blob(digest.hex), SIZE / 2);
    return new Place(service.url + url, folder, stack.move());
  }

  /** Where a client saves the file. */
  get target(): string {
    return join(this.folder.path, "..", "download.bin");
  }

  /** Asserts that a client has less than the whole. */
  async assertIncomplete(): Promise<void> {
    const size = await stat(this.target).then(
      (facts) => facts.size,
      () => 0,
    );
    assert(size < SIZE, `${size} bytes`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** The exit code of a program. */
function run(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve) => {
    execFile(program, args, (error) => resolve(error === null ? 0 : Number(error.code)));
  });
}

describe("a damaged file of 20 MiB is never completed", () => {
  test("by curl, which resumes and retries", needing("curl"), async () => {
    await using place = await Place.make();
    const args = ["-sS", "--fail", "--retry", "3", "--retry-all-errors", "--retry-delay", "0", "-C", "-"];
    assert.notEqual(await run("curl", [...args, "-o", place.target, place.url]), 0);
    // A second run continues where the first one ended.
    assert.notEqual(await run("curl", [...args, "-o", place.target, place.url]), 0);
    await place.assertIncomplete();
  });

  test("by wget, which resumes and retries", needing("wget"), async () => {
    await using place = await Place.make();
    const args = ["-q", "-c", "--tries=3", "--waitretry=0", "--retry-connrefused", "-O", place.target, place.url];
    assert.notEqual(await run("wget", args), 0);
    assert.notEqual(await run("wget", args), 0);
    await place.assertIncomplete();
  });

  test("by Chromium, which resumes a download by itself", needingChromium(), async () => {
    await using place = await Place.make();
    await using browser = await openBrowser();
    const page = await browser.context.newPage();
    const [download] = await Promise.all([page.waitForEvent("download"), page.goto(place.url).catch(() => null)]);
    assert.notEqual(await download.failure(), null);
  });
});
