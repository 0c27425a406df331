import express from "express";
import { createServer } from "node:http";
import { resolve } from "node:path";
import { serve } from "./serve.ts";

// https://expressjs.com/en/starter/static-files.html
const app = express();
app.use("/uploads", express.static(resolve(process.argv[2] ?? "data")));
await serve(createServer(app));
