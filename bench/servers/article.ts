import { once } from "node:events";
import { targetOfArguments } from "./s3-target.ts";
import { serveProgram } from "./program.ts";

// The service in bench/native/article; its binary is the last argument.
const { endpoint, region, bucket, accessKey, secretKey } = targetOfArguments();
await serveProgram({
  command: process.argv[4] ?? "article",
  args: [endpoint, region, bucket, accessKey, secretKey],
  options: { stdio: ["ignore", "pipe", "inherit"] },
  port: async ({ stdout }) => {
    if (stdout === null) return Number.NaN;
    const [line] = (await once(stdout, "data")) as [Buffer];
    return Number(line.toString());
  },
});
