import { createHash, randomUUID } from "node:crypto";
import { Transform } from "node:stream";
import { CopyObjectCommand, DeleteObjectCommand } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import multipart from "@fastify/multipart";
import Fastify from "fastify";
import { awsClient, targetOfArguments } from "./s3-target.ts";
import { serve } from "./serve.ts";

// The usual way to content-addressed links: upload to a temporary key and hash meanwhile, then,
// since S3 cannot rename, copy to the key of the hash and delete. Each library is used as its
// readme shows.
const target = targetOfArguments();
const { bucket: Bucket } = target;
const client = awsClient(target);
const app = Fastify();
await app.register(multipart, { limits: { fileSize: 5 * 1024 ** 3 } });
app.post("/uploads", async (request, reply) => {
  const data = await request.file();
  if (data === undefined) return reply.code(400).send();
  const hash = createHash("sha256");
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const temporary = `tmp/${randomUUID()}`;
  const params = { Bucket, Key: temporary, Body: data.file.pipe(hashed), ContentType: data.mimetype };
  await new Upload({ client, params }).done();
  const digest = hash.digest("hex");
  await client.send(new CopyObjectCommand({ Bucket, Key: digest, CopySource: `${Bucket}/${temporary}` }));
  await client.send(new DeleteObjectCommand({ Bucket, Key: temporary }));
  return reply.code(201).send({ url: `/uploads/${digest}` });
});
await app.ready();
await serve(app.server);
