import { createServer } from "node:http";
import { createFixity } from "../../src/index.ts";
import { nodeHandler } from "../../src/node.ts";
import { s3Store } from "../../src/s3.ts";
import { targetOfArguments } from "./s3-target.ts";
import { serve } from "./serve.ts";

// As `fixity serve` sets it up, without logs and page.
const { endpoint, region, bucket, accessKey, secretKey } = targetOfArguments();
const store = s3Store({ endpoint, region, bucket, accessKey, secretKey });
await serve(createServer({ requestTimeout: 0 }, nodeHandler(createFixity({ store }))));
