import type { BlobStore } from "../../src/core/store.ts";
import { UploadId } from "../../src/core/upload-id.ts";
import type { HeldUpload } from "../../src/core/upload-store.ts";
import { content, digestOf } from "../../src/stores/contract/tools.ts";
import { bring, savedBytes, take, uploadsOf } from "../../src/stores/contract/upload-tools.ts";

/** The steps that a store process executes on the upload `id` (hex). */
export type UploadStep = { readonly do: "upload"; readonly id: string } & (
  | { readonly call: "create"; readonly record: string }
  | { readonly call: "save"; readonly record: string }
  | { readonly call: "renew"; readonly record: string }
  | { readonly call: "conclude"; readonly record: string }
  /** With `polite`, it saves under this record and releases the upload when another process asks for it. */
  | { readonly call: "hold"; readonly polite?: string }
  | { readonly call: "read" }
  | { readonly call: "remove" }
  | { readonly call: "release" }
  /** Appends bytes `from` to `to` of a content. */
  | { readonly call: "write"; readonly of: Content; readonly from: number; readonly to: number }
  | { readonly call: "commit"; readonly of: Content }
  /** Checks whether the saved bytes are the first ones of a content. */
  | { readonly call: "has"; readonly of: Content }
);

export interface Content {
  readonly size: number;
  readonly seed: number;
}

/** Executes upload steps in a store process, and holds uploads between steps. */
export class UploadSteps {
  readonly #store: BlobStore;
  readonly #acknowledge: (what: string) => void;
  readonly #held = new Map<string, HeldUpload>();

  /** @param acknowledge called when a call has promised that bytes are durable */
  constructor(store: BlobStore, acknowledge: (what: string) => void) {
    this.#store = store;
    this.#acknowledge = acknowledge;
  }

  async run(step: UploadStep): Promise<unknown> {
    const done = await this.#run(step);
    this.#acknowledge(`${step.call} ${step.id}`);
    return done ?? null;
  }

  async #run(step: UploadStep): Promise<unknown> {
    const id = UploadId.parse(step.id);
    const uploads = uploadsOf(this.#store);
    if (step.call === "create") return uploads.create(id, step.record);
    if (step.call === "read") return uploads.read(id);
    if (step.call === "hold") return this.#hold(id, step.polite);
    const held = this.#held.get(step.id) ?? (await take(uploads, id));
    if (step.call === "save") return held.save(step.record);
    if (step.call === "renew") return held.renew(step.record);
    if (step.call === "conclude") return held.conclude(step.record);
    if (step.call === "remove") return held.remove();
    if (step.call === "release") return this.#release(held, step.id);
    const bytes = content(step.of.size, step.of.seed);
    if (step.call === "write") return bring(held, bytes.subarray(step.from, step.to));
    if (step.call === "commit") return held.commit(digestOf(bytes));
    return (await savedBytes(held))?.equals(bytes.subarray(0, held.offset));
  }

  async #release(held: HeldUpload, id: string): Promise<void> {
    this.#held.delete(id);
    await held[Symbol.asyncDispose]();
  }

  async #hold(id: UploadId, polite: string | undefined): Promise<unknown> {
    const held = await take(uploadsOf(this.#store), id);
    this.#held.set(id.hex, held);
    if (polite !== undefined) {
      const letGo = async (): Promise<void> => {
        await held.save(polite);
        await held[Symbol.asyncDispose]();
      };
      held.takeover.addEventListener("abort", () => void letGo());
    }
    return { record: held.record, offset: held.offset };
  }
}
