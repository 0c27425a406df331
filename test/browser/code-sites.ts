import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer } from "node:http";
import { once } from "node:events";
import express from "express";
import { createFixity, type Fixity } from "../../src/index.ts";
import { memoryStore } from "../../src/memory.ts";
import { nodeHandler } from "../../src/node.ts";
import { SCRIPT, STYLE, xmlPage, XSLT } from "./code-attempts.ts";

/** An Express app that embeds fixity, with a page of its own and the same code as files of its own. */
export interface App extends AsyncDisposable {
  readonly origin: string;
  /** Requests for stored files that were answered with a file: what the browser wanted it for. */
  readonly served: string[];
  /** Links to the same code as uploaded files. */
  readonly links: { readonly script: string; readonly style: string; readonly xslt: string };
}

interface AppOptions {
  /** For the app's page. */
  readonly policy?: string;
  readonly scripts?: boolean;
}

const PAGE = '<!doctype html><meta charset="utf-8"><title>app</title><link rel="icon" href="data:,"><p>an app';

export async function startApp({ policy, scripts = false }: AppOptions = {}): Promise<App> {
  const fixity = createFixity({ store: memoryStore() });
  const served: string[] = [];
  const app = express();
  app.use(
    nodeHandler(fixity, {
      scripts,
      onAnswer: ({ fields }, { status }) => {
        if (status < 400) served.push(fields.get("sec-fetch-dest") ?? "none");
      },
    }),
  );
  app.get("/named-by-the-map.js", (_, response) => void response.type("text/javascript").send(""));
  app.get("/", (_, response) => {
    if (policy !== undefined) response.set("Content-Security-Policy", policy);
    response.type("html").send(PAGE);
  });
  app.get("/own.js", (_, response) => {
    response.set("Service-Worker-Allowed", "/").type("text/javascript").send(SCRIPT);
  });
  app.get("/own.css", (_, response) => void response.type("css").send(STYLE));
  app.get("/own.xsl", (_, response) => void response.type("text/xsl").send(XSLT));
  app.get("/page.xml", ({ query }, response) => {
    if (policy !== undefined) response.set("Content-Security-Policy", policy);
    response.type("application/xml").send(xmlPage(query["sheet"] as string));
  });
  const server = createServer(app).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: originOf(server),
    served,
    links: await storeCode(fixity),
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await fixity.close();
    },
  };
}

/** Stores the code, and gives its links. */
export async function storeCode(fixity: Fixity): Promise<App["links"]> {
  const [script, style, xslt] = await Promise.all([
    fixity.put(Buffer.from(SCRIPT), { filename: "code.js" }),
    fixity.put(Buffer.from(STYLE), { filename: "code.css" }),
    fixity.put(Buffer.from(XSLT), { filename: "code.xsl" }),
  ]);
  return { script: script.url, style: style.url, xslt: xslt.url };
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
