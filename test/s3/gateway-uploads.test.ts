/** Resumable uploads on a real S3 server. */
import { onGateway } from "./gateway.ts";
import { roundsSuite } from "./rounds.ts";
import { uploadFaultsSuite } from "./upload-faults.ts";
import { uploadsSuite } from "./uploads.ts";
import { versionedSuite } from "./versioned.ts";

await onGateway("resumable uploads on a real S3 server", [
  uploadsSuite,
  versionedSuite,
  uploadFaultsSuite,
  roundsSuite,
]);
