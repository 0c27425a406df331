import fastifyStatic from "@fastify/static";
import Fastify from "fastify";
import { resolve } from "node:path";
import { serve } from "./serve.ts";

// https://github.com/fastify/fastify-static, as its readme shows it
const app = Fastify();
await app.register(fastifyStatic, { root: resolve(process.argv[2] ?? "data"), prefix: "/uploads/" });
await app.ready();
await serve(app.server);
