import "./core/require-supported-node.ts";
export type * from "./node.ts";
import type { Fixity } from "./core/fixity.ts";
import { describeService, type OpenApiDocument } from "./http/openapi/document.ts";
import type { HandlerOptions } from "./http/options.ts";

export type { OpenApiDocument, PathItem } from "./http/openapi/document.ts";

/**
 * Describes the service in OpenAPI 3.1: all requests, and every answer that they can have, as this
 * service and these options of its handler make them. What `authorize` and `principal` refuse is
 * described as far as fixity knows it.
 *
 * @param options those that the handler has
 */
export function openApiDocument<Context = unknown>(
  fixity: Fixity<Context>,
  options: HandlerOptions<Context> = {},
): OpenApiDocument {
  return describeService(fixity, options);
}
