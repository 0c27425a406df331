import type { FastifyInstance, FastifyPluginAsync } from "fastify";
import type { Fixity } from "../../core/fixity.ts";
import { createHandler } from "../handler.ts";
import type { HandlerOptions } from "../options.ts";
import { expectContinue, runNode } from "./node.ts";

/** What `fastify.register(fixityPlugin, …)` is given. */
export interface FixityPluginOptions extends HandlerOptions {
  readonly fixity: Fixity;
  /**
   * Whether the service is closed with the app: `fixity.close()` begins with `app.close()`, which waits for it. Without,
   * close it yourself, before `app.close()`: that waits for running uploads, however long they take.
   *
   * @default true
   */
  readonly closesWithApp?: boolean;
}

/**
 * The service as a Fastify plugin: registers the service's own prefix and leaves the rest of the app alone. Hooks of the
 * app (authentication, rate limits) run before fixity as for any route; the content is not read by Fastify.
 */
export const fixityPlugin: FastifyPluginAsync<FixityPluginOptions> = async (fastify, plugin) => {
  const { fixity, closesWithApp = true, ...options } = plugin;
  const handler = createHandler(fixity, options);
  expectContinue(fastify.server, { handler });
  takeContentAsItIs(fastify);
  if (closesWithApp) {
    // `onClose` comes when all requests have ended, and it is this that ends them
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
        return runNode(handler, request.raw, reply.raw);
      },
    });
  }
};

function takeContentAsItIs(fastify: FastifyInstance): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser("*", (_request, _payload, done) => done(null));
}
