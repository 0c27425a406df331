import { createServer } from "node:http";
import express from "express";
import multer from "multer";
import multerS3 from "multer-s3";
import { awsClient, targetOfArguments } from "./s3-target.ts";
import { serve } from "./serve.ts";

// https://github.com/anacronw/multer-s3, as its readme shows it, with its own random keys: no hash
const target = targetOfArguments();
const upload = multer({ storage: multerS3({ s3: awsClient(target), bucket: target.bucket }) });
const app = express();
app.post("/uploads", upload.single("upload"), (request, response) => {
  const { key } = request.file as unknown as { readonly key: string };
  response.status(201).json({ url: `/uploads/${key}` });
});
await serve(createServer(app));
