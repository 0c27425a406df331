import { BlobReader } from "./blob-reader.ts";
import { FixityClientError } from "./errors.ts";
import { parseLink } from "./links.ts";
import { Persistence, type RetryPlan } from "./retrier.ts";
import type { Platform } from "./platform.ts";
import { asClientError, type Service } from "./service.ts";
import { Semaphore } from "../base/semaphore.ts";
import { Turn } from "./turn.ts";
import { Steering } from "./upload-control.ts";
import type { Download, DownloadOptions } from "./types.ts";

/** What downloads of one client have in common. */
export interface DownloadParts {
  readonly platform: Platform;
  readonly service: Service;
  readonly plan: RetryPlan;
}

/** Fetches what is stored under a link, verified. @throws FixityClientError */
export async function download(
  { platform, service, plan }: DownloadParts,
  link: string | URL,
  { have, signal }: DownloadOptions & { readonly signal: AbortSignal },
): Promise<Download> {
  const parsed = parseLink(link, service.endpoint);
  if (platform.hashing === null) {
    throw new FixityClientError("cannot-verify", "There is no worker that could verify the file.");
  }
  const hash = platform.hashing.running();
  const steering = new Steering();
  const stop = (): void => steering.stop(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener("abort", stop);
  const end = (): void => {
    signal.removeEventListener("abort", stop);
    hash.drop();
  };
  const persistence = new Persistence({ steering, turn: new Turn(new Semaphore(1)), network: platform.network, plan });
  const reader = new BlobReader({ link: parsed, service, persistence, hash, plan });
  try {
    await reader.skip(have);
    const { position: offset } = reader;
    const info = await reader.open();
    return { ...info, offset, stream: streamOf(reader, { steering, end }) };
  } catch (error) {
    end();
    throw asClientError(error);
  }
}

/** Pulled, so that nothing is fetched that nobody reads. */
function streamOf(
  reader: BlobReader,
  { steering, end }: { readonly steering: Steering; readonly end: () => void },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const chunk = await reader.next();
          if (chunk !== null) return controller.enqueue(chunk);
          controller.close();
        } catch (error) {
          controller.error(asClientError(error));
        }
        end();
      },
      cancel(reason) {
        steering.stop(reason);
        end();
      },
    },
    { highWaterMark: 0 },
  );
}
