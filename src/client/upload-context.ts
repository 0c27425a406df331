import type { Meter } from "./meter.ts";
import type { Persistence } from "./retrier.ts";
import type { Platform } from "./platform.ts";
import { formatDisposition } from "./formats.ts";
import type { Rates } from "./rates.ts";
import type { Service } from "./service.ts";
import type { Steering } from "./upload-control.ts";

/** What is told of a file besides its bytes. */
export interface FileNaming {
  readonly filename: string | null;
  readonly type: string | null;
}

/** What all that works on one upload has in common. */
export interface UploadContext {
  readonly service: Service;
  readonly platform: Platform;
  readonly steering: Steering;
  readonly persistence: Persistence;
  readonly meter: Meter;
  readonly rates: Rates;
  readonly naming: FileNaming;
}

/** The fields that name a file. */
export function namingFields({ filename, type }: FileNaming): Record<string, string> {
  // as a form, the content would be taken apart
  const isForm = type !== null && /^\s*multipart\/form-data\b/i.test(type);
  return {
    ...(type !== null && { "Content-Type": isForm ? "application/octet-stream" : type }),
    ...(filename !== null && { "Content-Disposition": formatDisposition(filename) }),
  };
}
