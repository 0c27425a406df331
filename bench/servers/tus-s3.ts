import { S3Store } from "@tus/s3-store";
import { targetOfArguments } from "./s3-target.ts";
import { serve } from "./serve.ts";
import { tusServer } from "./tus-server.ts";

// https://github.com/tus/tus-node-server, packages/s3-store, as its readme shows it: parts of 8 MiB, no hash
const { endpoint, region, bucket, accessKey, secretKey } = targetOfArguments();
const s3ClientConfig = {
  bucket,
  endpoint,
  region,
  credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  forcePathStyle: true,
  // Ceph refuses parts with a trailing checksum, which the SDK sends by default.
  requestChecksumCalculation: "WHEN_REQUIRED" as const,
};
await serve(tusServer(new S3Store({ partSize: 8 * 1024 * 1024, s3ClientConfig })));
