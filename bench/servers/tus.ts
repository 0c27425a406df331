import { FileStore } from "@tus/file-store";
import { serve } from "./serve.ts";
import { tusServer } from "./tus-server.ts";

// https://github.com/tus/tus-node-server, "A standalone server which stores files on disk": no hash, no fsync
await serve(tusServer(new FileStore({ directory: process.argv[2] ?? "data" })));
