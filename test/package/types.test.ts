/** The types of an embedder's hooks: what `context` returns is what all of them receive. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

let project = "";
before(async () => {
  project = await mkdtemp(join(tmpdir(), "fixity-types-"));
  await symlink(join(ROOT, "node_modules"), join(project, "node_modules"));
  await writeFile(join(project, "package.json"), '{ "type": "module" }');
});
after(() => rm(project, { recursive: true, force: true }));

const SERVICE = `
  import { createFixity, type StoredDetails, type InspectedFile } from "fixity";
  import { memoryStore } from "fixity/memory";
  interface Session { readonly userId: string }
  const fixity = createFixity<Session | null>({
    store: memoryStore(),
    onStored(_receipt, details) {
      const user: string | undefined = details.context?.userId;
      const same: StoredDetails<Session | null> = details;
      // @ts-expect-error a completion without its request has no context
      details.context.userId;
      // @ts-expect-error no such member
      details.context?.name;
      return void [user, same];
    },
    inspect(file) {
      const same: InspectedFile<Session | null> = file;
      return same.context?.userId === undefined ? "refuse" : "allow";
    },
  });
`;

/** Members of the options of every handler, whose `context` is a \`Session | null\`. */
const HOOKS = `
    principal(session) {
      // @ts-expect-error it may be null
      session.userId;
      return session && { name: session.userId };
    },
    authorize(request) {
      const user: string | undefined = request.context?.userId;
      const same: AccessRequest<Session | null> = request;
      // @ts-expect-error no such member
      request.context?.name;
      return user === undefined ? { deny: 401 } : { maxSize: 1, keep: same.action };
    },
`;

const PROGRAMS: Readonly<Record<string, string>> = {
  node: `${SERVICE}
    import { nodeHandler, type AccessRequest } from "fixity/node";
    nodeHandler<Session | null>(fixity, {
      context: (request) => ({ userId: String(request.headers["x-user"]) }),
      ${HOOKS}
    });
    // the type follows from the service
    nodeHandler(fixity, { ${HOOKS} });
    // @ts-expect-error not a session
    nodeHandler<Session | null>(fixity, { context: () => 1 });
  `,
  express: `${SERVICE}
    import express, { type Request } from "express";
    import { nodeHandler, type AccessRequest } from "fixity/node";
    const app = express();
    app.use(nodeHandler<Session | null>(fixity, {
      context: async (request: Request) => ({ userId: request.hostname }),
      ${HOOKS}
    }));
  `,
  fastify: `${SERVICE}
    import Fastify from "fastify";
    import { fixityPlugin, type AccessRequest } from "fixity/fastify";
    const app = Fastify();
    await app.register(fixityPlugin<Session | null>, {
      fixity,
      context: (request) => ({ userId: request.hostname }),
      ${HOOKS}
    });
    // without a type argument, options are still known
    await app.register(fixityPlugin, { fixity, onAnswer: ({ method }, { status }) => console.log(method, status) });
    // @ts-expect-error not an option
    await app.register(fixityPlugin<Session | null>, { fixity, contxt: () => null });
  `,
  fetch: `${SERVICE}
    import { fetchHandler, type AccessRequest } from "fixity/fetch";
    import { Hono } from "hono";
    const handler = fetchHandler<Session | null>(fixity, {
      context: (request, ...host) => (host.length > 0 ? { userId: request.url } : null),
      ${HOOKS}
    });
    new Hono().all("/uploads/*", (context) => handler(context.req.raw, context));
  `,
  exported: `
    import type {
      Action, AppPrincipal, Decision, Denial, HandlerOptions, LinkSigner, Narrowing, Owner, Permit, PermitTerms,
      Principal, PrincipalLimits, SeenUpload, SignOptions, StoredDetails, TypeList, UploadTerms,
    } from "fixity/node";
    import type { AccessRequest, FixityPluginOptions } from "fixity/fastify";
    import type { AccessOptions, FetchHandlerOptions } from "fixity/fetch";
    import type { AccessSettings, Config, Secrets, TokenSet } from "fixity/server";
    export type All = [
      Action, AppPrincipal, Decision, Denial, HandlerOptions, LinkSigner, Narrowing, Owner, Permit, PermitTerms,
      Principal, PrincipalLimits, SeenUpload, SignOptions, StoredDetails, TypeList, UploadTerms, AccessRequest,
      FixityPluginOptions, AccessOptions, FetchHandlerOptions, AccessSettings, Config, Secrets, TokenSet,
    ];
  `,
};

test("hooks receive the type that context returns: node, Express, Fastify and fetch hosts", async () => {
  for (const [name, text] of Object.entries(PROGRAMS)) await writeFile(join(project, `${name}.mts`), text);
  const config = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: {
      declaration: false,
      isolatedDeclarations: false,
      noUnusedLocals: false,
      skipLibCheck: true,
      paths: { fixity: [join(ROOT, "src/index.ts")], "fixity/*": [join(ROOT, "src/*.ts")] },
    },
    include: [join(project, "*.mts"), join(ROOT, "types")],
    exclude: [],
  };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const errors = await new Promise<string>((resolve) => {
    execFile(process.execPath, [tsc, "-p", project], (_error, stdout) => resolve(stdout));
  });
  assert.equal(errors, "");
});
