/**
 * An append that is stopped before any one of its requests to S3, while another instance takes the
 * upload over.
 */
import assert from "node:assert/strict";
import { fencedCode, type Proof, type Successor, takeOver, uploadsOver } from "../helpers/fencing.ts";
import { mapConcurrent } from "../helpers/map-concurrent.ts";
import { Random } from "../helpers/random.ts";
import type { ScriptedRequest } from "./scripted-bucket.ts";
import { ScriptedServer } from "./scripted-server.ts";

const MIB = 1024 * 1024;
/** A part and a tail. */
const SAVED = 6 * MIB;
const BYTES = new Random(3).bytes(13 * MIB);
const OTHER = Buffer.concat([BYTES.subarray(0, SAVED), new Random(4).bytes(MIB)]);

const STOPPED_KEY = "AKIASTOPPEDSTOPPED00";

/** Whether a request is one of the stopped instance, except for the periodic checks of its record. */
function isStep(server: ScriptedServer, { headers, operation, key }: ScriptedRequest): boolean {
  const isOwn = String(headers.authorization).includes(STOPPED_KEY);
  const isRecordCheck = operation === "HeadObject" && key.startsWith("uploads/");
  return isOwn && !isRecordCheck && server.bucket.objects.size > 0;
}

async function stoppedAt(stopAt: number, successor: Successor): Promise<{ steps: string[]; code: string | null }> {
  await using server = await ScriptedServer.start();
  await using first = server.store({ accessKey: STOPPED_KEY });
  await using second = server.store();
  const { id } = await uploadsOver(second).create({});
  await uploadsOver(second).append(id, { offset: 0, source: [BYTES.slice(0, SAVED)], completes: false });
  const steps: string[] = [];
  let takenOver: Promise<Proof> = Promise.resolve(null);
  server.before = async (request) => {
    if (!isStep(server, request)) return;
    steps.push(`${request.operation} ${request.key.slice(0, 16)}`);
    if (steps.length - 1 !== stopAt) return;
    takenOver = takeOver(second, { successor, id, saved: SAVED, content: OTHER });
    await takenOver;
  };
  const append = { offset: SAVED, source: [BYTES.slice(SAVED, 10 * MIB), BYTES.slice(10 * MIB)], completes: true };
  const [result] = await Promise.allSettled([uploadsOver(first).append(id, append)]);
  const proof = await takenOver;
  const at = `before ${stopAt}: ${steps[stopAt]}`;
  const code = fencedCode(result, successor, at);
  await proof?.();
  return { steps, code };
}

/** Stops an append before each of its requests in turn. @returns the code with which each ended */
export async function proveFencing(successor: Successor): Promise<readonly (string | null)[]> {
  const { steps, code } = await stoppedAt(Infinity, successor);
  assert.equal(code, null);
  const codes = await mapConcurrent(steps.keys(), 8, async (step) => (await stoppedAt(step, successor)).code);
  assert.ok(codes.filter((found) => found === "upload-superseded").length > codes.length / 2, codes.join(" "));
  return codes;
}
