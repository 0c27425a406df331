import { freePort } from "../../test/helpers/free-port.ts";
import { serveProgram } from "./program.ts";
import type { S3Target } from "./s3-target.ts";

// tusd with its defaults over the folder or, if a third argument names one, over a bucket.
const [, , root = "data", binary = "tusd", target] = process.argv;
const { endpoint, region, bucket, accessKey, secretKey } = JSON.parse(target ?? "{}") as Partial<S3Target>;
const port = await freePort();
const store = endpoint === undefined ? ["-upload-dir", root] : ["-s3-bucket", bucket ?? "", "-s3-endpoint", endpoint];
await serveProgram({
  command: binary,
  args: ["-host", "127.0.0.1", "-port", String(port), "-base-path", "/uploads/", ...store],
  options: {
    // Its SDK warns about every response of a gateway without checksums.
    stdio: "ignore",
    env: { ...process.env, AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey, AWS_REGION: region },
  },
  port,
});
