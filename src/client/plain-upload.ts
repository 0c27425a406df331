import { formatReprDigest } from "./formats.ts";
import type { Content } from "./platform.ts";
import { type Receipt, receiptIn } from "./receipt.ts";
import { namingFields, type UploadContext } from "./upload-context.ts";

/** Sends a file in one request. */
export function uploadPlainly(context: UploadContext, content: Content, digest: string | null): Promise<Receipt> {
  const { service, persistence, meter, rates, naming } = context;
  return persistence.run(async (signal) => {
    const began = performance.now();
    meter.stands(0);
    const answer = await service.send({
      method: "POST",
      url: service.endpoint,
      headers: {
        ...namingFields(naming),
        ...(digest !== null && { "Repr-Digest": formatReprDigest(digest) }),
        // of a request without content nobody knows that it is a file, unless it says so
        ...(content.size === 0 && { "Upload-Complete": "?1" }),
      },
      content,
      onSent: meter.counter(0),
      signal,
    });
    rates.sent(content.size, performance.now() - began);
    return receiptIn(answer, service.endpoint, { digest, size: content.size });
  });
}
