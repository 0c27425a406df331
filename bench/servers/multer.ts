import { createServer } from "node:http";
import express from "express";
import multer from "multer";
import { serve } from "./serve.ts";

// https://github.com/expressjs/multer, "DiskStorage" by its short form: no hash, no fsync, random names
const upload = multer({ dest: process.argv[2] ?? "data" });
const app = express();
app.post("/uploads", upload.single("upload"), (request, response) => {
  response.status(201).json({ url: `/uploads/${request.file?.filename}` });
});
await serve(createServer(app));
