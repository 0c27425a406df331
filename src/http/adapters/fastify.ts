import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Fixity } from "../../core/fixity.ts";
import { createHandler } from "../handler.ts";
import type { HandlerOptions } from "../options.ts";
import { expectContinue, runNode } from "./node.ts";

/** Options of `fastify.register(fixityPlugin, …)`. */
export interface FixityPluginOptions<Context = unknown> extends HandlerOptions<Context> {
  /** The service, from `createFixity`. */
  readonly fixity: Fixity<Context>;
  /**
   * Returns what the hooks are to know about a request, such as its session. Receives Fastify's own
   * request. Called once for each request, before anything else about it.
   */
  context?(request: FastifyRequest): Context | Promise<Context>;
  /**
   * Whether `app.close()` closes the service, and waits for it. If not, call `fixity.close()`
   * before `app.close()`, which waits for running uploads however long they take.
   *
   * @default true
   */
  readonly closesWithApp?: boolean;
}

/**
 * The service as a Fastify plugin: adds routes below the service's prefix and does not affect the
 * rest of the app. Hooks of the app (authentication, rate limits) run before fixity, as for any
 * route. Fastify does not read the content.
 *
 * `app.register(fixityPlugin<Session>, …)` gives the hooks the type of what `context` returns.
 */
export function fixityPlugin<Context>(fastify: FastifyInstance, plugin: FixityPluginOptions<Context>): Promise<void>;
// `register` infers its options from the last signature, which must not be generic.
export function fixityPlugin(fastify: FastifyInstance, plugin: FixityPluginOptions): Promise<void>;
export async function fixityPlugin(fastify: FastifyInstance, plugin: FixityPluginOptions): Promise<void> {
  const { fixity, closesWithApp = true, ...options } = plugin;
  const handler = createHandler(fixity, options);
  expectContinue(fastify.server, { handler });
  disableContentParsing(fastify);
  if (closesWithApp) {
    // Fastify calls `onClose` after all requests have ended, but it is `close()` that ends them.
    fastify.addHook("preClose", async () => void fixity.close().catch(() => null));
    fastify.addHook("onClose", () => fixity.close());
  }
  for (const url of [fixity.prefix, `${fixity.prefix}/*`]) {
    fastify.route({
      method: fastify.supportedMethods,
      url,
      exposeHeadRoute: false,
      handler: (request, reply) => {
        reply.hijack();
        return runNode(handler, request.raw, reply.raw, request);
      },
    });
  }
}

function disableContentParsing(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser("*", (_request, _payload, done) => done(null));
}
