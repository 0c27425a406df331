/**
 * Compares what a server sends with the description of the service in OpenAPI: whatever sent the
 * request, fetch, a raw socket or a client library.
 */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { OpenApiDocument } from "../../src/openapi.ts";

/** Fields that frame a message. The document describes none of them; the media type belongs to the content. */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "content-type",
  "date",
  "keep-alive",
  "transfer-encoding",
]);

/** The most bytes of content that are compared with a schema. */
const CONTENT_MAX_BYTES = 256 * 1024;

/** A response as it was sent. */
export interface SentAnswer {
  readonly method: string;
  /** The method that tus puts in its place, for clients that can only send others. */
  readonly override?: string | undefined;
  /** Path and query. */
  readonly target: string;
  readonly status: number;
  /** By lower-case name. */
  readonly fields: ReadonlyMap<string, string>;
  /** The content; `null` if it was broken off, is compressed or too long. */
  readonly content: Buffer | null;
}

interface ResponseObject {
  readonly $ref?: string;
  readonly headers?: Readonly<Record<string, { readonly $ref: string }>>;
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>;
}

interface HeaderObject {
  readonly required?: boolean;
  readonly schema: { readonly type?: string };
}

/** Finds where answers differ from a document. */
export class Description {
  readonly #document: OpenApiDocument;
  readonly #ajv: Ajv2020;
  readonly #validators = new Map<string, ValidateFunction>();
  readonly #templates: readonly { readonly path: string; readonly pattern: RegExp }[];

  constructor(document: OpenApiDocument) {
    this.#document = document;
    this.#ajv = new Ajv2020({ strict: false });
    addFormats.default(this.#ajv);
    this.#ajv.addSchema(document, "openapi");
    this.#templates = Object.keys(document.paths)
      .toSorted((a, b) => a.split("{").length - b.split("{").length)
      .map((path) => ({ path, pattern: patternOf(path) }));
  }

  /** What the document does not say about an answer; `null` if it describes it. */
  difference(answer: SentAnswer): string | null {
    const { method, override } = answer;
    const difference = this.#differenceOf(answer, method);
    // Which of the two methods counts depends on the resource, and cross-site requests are refused by both.
    return difference !== null && override !== undefined ? this.#differenceOf(answer, override) : difference;
  }

  #differenceOf(answer: SentAnswer, method: string): string | null {
    const [path = ""] = answer.target.split("?", 1);
    const template = this.#templates.find(({ pattern }) => pattern.test(path))?.path;
    const item = template === undefined ? undefined : this.#pathItem(template);
    const operation = item?.value[method.toLowerCase()] as
      | { readonly responses: Readonly<Record<string, ResponseObject>> }
      | undefined;
    if (item === undefined || operation === undefined) return this.#undescribed(answer);
    const status = String(answer.status);
    const found = operation.responses[status];
    if (found === undefined) return `the status is not among ${Object.keys(operation.responses).join(", ")}`;
    const pointer = found.$ref ?? `#/paths/${escape(item.path)}/${method.toLowerCase()}/responses/${status}`;
    const response = found.$ref === undefined ? found : (this.#at(found.$ref) as ResponseObject);
    return this.#fieldDifference(answer, response) ?? this.#contentDifference(answer, response, pointer);
  }

  #pathItem(path: string): { readonly path: string; readonly value: Readonly<Record<string, unknown>> } {
    const value = this.#document.paths[path] ?? {};
    const { $ref: reference } = value;
    if (typeof reference !== "string") return { path, value };
    const target = reference.slice("#/paths/".length).replaceAll("~1", "/");
    return { path: target, value: this.#document.paths[target] ?? {} };
  }

  /** Requests that the document does not describe are refused, and by a problem or a page. */
  #undescribed(answer: SentAnswer): string | null {
    const { status, method, fields } = answer;
    if (answer.target === "*" && method === "OPTIONS") return null;
    if (status < 400) return "the document has no such operation";
    if (status === 405 && !fields.has("allow")) return "a 405 has no Allow";
    if (method === "HEAD" || essenceOf(fields) !== "application/problem+json") return null;
    return this.#schemaDifference("#/components/schemas/Problem", answer.content);
  }

  #fieldDifference({ fields }: SentAnswer, { headers = {} }: ResponseObject): string | null {
    const described = new Map(Object.entries(headers).map(([name, { $ref }]) => [name.toLowerCase(), $ref]));
    for (const [name, value] of fields) {
      if (FRAMING.has(name)) continue;
      const reference = described.get(name);
      if (reference === undefined) return `the field ${name} is not described`;
      const { schema } = this.#at(reference) as HeaderObject;
      const validate = this.#validator(`${reference}/schema`, {});
      if (!validate(schema.type === "integer" ? Number(value) : value)) return `the field ${name} is ${value}`;
    }
    for (const [name, reference] of described) {
      if (!fields.has(name) && (this.#at(reference) as HeaderObject).required === true) return `there is no ${name}`;
    }
    return null;
  }

  #contentDifference(answer: SentAnswer, { content = {} }: ResponseObject, pointer: string): string | null {
    const { method, status, fields } = answer;
    if (method === "HEAD" || status === 204 || status === 304) return null;
    const essence = essenceOf(fields);
    const types = Object.keys(content);
    if (essence === null) return (answer.content?.length ?? 0) > 0 ? "the content has no media type" : null;
    const type = types.includes(essence) ? essence : types.includes("*/*") ? "*/*" : null;
    if (type === null) return `the media type ${essence} is not among ${types.join(", ")}`;
    if (content[type]?.schema === undefined || !essence.endsWith("json")) return null;
    return this.#schemaDifference(`${pointer}/content/${escape(type)}/schema`, answer.content);
  }

  #schemaDifference(pointer: string, content: Buffer | null): string | null {
    if (content === null) return null;
    // Nothing that the document does not mention.
    const validate = this.#validator(pointer, { unevaluatedProperties: false });
    let value: unknown;
    try {
      value = JSON.parse(content.toString());
    } catch {
      return "the content is not JSON";
    }
    if (validate(value)) return null;
    return `${content.toString().trim()}: ${this.#ajv.errorsText(validate.errors)}`;
  }

  #validator(pointer: string, more: object): ValidateFunction {
    const known = this.#validators.get(pointer);
    if (known !== undefined) return known;
    const fragment = pointer.replace(/[{}]/g, encodeURIComponent);
    const validate = this.#ajv.compile({ $ref: `openapi${fragment}`, ...more });
    this.#validators.set(pointer, validate);
    return validate;
  }

  #at(pointer: string): unknown {
    const names = pointer
      .slice(2)
      .split("/")
      .map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    return names.reduce<unknown>((value, name) => (value as Record<string, unknown>)[name], this.#document);
  }
}

/** Descriptions by what they depend on: making one takes longer than most tests. */
const descriptions = new Map<string, Description>();

/**
 * Compares the responses of a server with its document from now on.
 *
 * @param key of documents that are equal
 * @returns to be called at the end: throws if a response was not described
 */
export function compareAnswers(server: Server, key: string, document: () => OpenApiDocument): () => void {
  const differences: string[] = [];
  const compare = (answer: SentAnswer): void => {
    const description = descriptions.get(key) ?? new Description(document());
    descriptions.set(key, description);
    const difference = description.difference(answer);
    if (difference !== null) differences.push(`${answer.method} ${answer.target}: ${answer.status}: ${difference}`);
  };
  const onStart = (message: unknown): void => {
    const { request, response, server: own } = message as Started;
    if (own === server) record(request, response, compare);
  };
  subscribe("http.server.request.start", onStart);
  return () => {
    unsubscribe("http.server.request.start", onStart);
    assert.deepEqual(differences.splice(0), [], "answers that /openapi.json does not describe");
  };
}

interface Started {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly server: Server;
}

/** Calls `done` with the response once it was sent, or broken off after its header section. */
function record(request: IncomingMessage, response: ServerResponse, done: (answer: SentAnswer) => void): void {
  const { method = "" } = request;
  const override = request.headers["x-http-method-override"]?.toString().trim().toUpperCase();
  const target = (request.url ?? "").replace(/^https?:\/\/[^/]*/i, "");
  const chunks: Buffer[] = [];
  let size = 0;
  for (const name of ["write", "end"] as const) {
    const send = response[name].bind(response) as (...args: unknown[]) => never;
    response[name] = (...args: unknown[]): never => {
      const [chunk] = args;
      if (typeof chunk === "string" || chunk instanceof Uint8Array) {
        size += chunk.length;
        if (size <= CONTENT_MAX_BYTES) chunks.push(Buffer.from(chunk));
      }
      return send(...args);
    };
  }
  response.once("close", () => {
    // Node's own text of the header section: what the client received.
    const { _header: head } = response as unknown as { readonly _header: string | null };
    if (head === null || !response.headersSent) return;
    // Node itself refuses what an embedded service does not listen to.
    if (response.statusCode === 417 && !/^content-type:/im.test(head)) return;
    const fields = fieldsIn(head);
    const isReadable = response.writableFinished && size <= CONTENT_MAX_BYTES && !fields.has("content-encoding");
    const content = isReadable ? Buffer.concat(chunks) : null;
    done({ method, override, target, status: response.statusCode, fields, content });
  });
}

function fieldsIn(head: string): ReadonlyMap<string, string> {
  const lines = head
    .split("\r\n")
    .slice(1)
    .filter((line) => line !== "");
  return new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
}

/** Ids of uploads are opaque: everything below their path is one. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace("{id}", ".*").replace(/\{\w+\}/g, "[^/]+")}$`);
}

function essenceOf(fields: ReadonlyMap<string, string>): string | null {
  return fields.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? null;
}

function escape(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
