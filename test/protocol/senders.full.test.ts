/**
 * The programs of docs/senders.md as their registries have them, against a running fixity: what each sends is stored, the
 * program reports the answer, and the request has the shape of its recording. Front ends: test/browser/senders.full.test.ts.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { needing } from "../helpers/requirements.ts";
import { install, type Receipt, SendersPlace } from "./senders/place.ts";
import { LABELS } from "./senders/recordings.ts";

const NODE = LABELS.filter((label) =>
  /^(?:axios-(?!browser)|fetch-|form-data-|got-|ky-|node-fetch-|superagent-|undici-)/.test(label),
);
const PYTHON = LABELS.filter((label) => /^(?:aiohttp|httpie|httpx|requests|urllib)-/.test(label));

/** Shell commands by the labels of their recordings; `$1` is the collection's URL. */
const COMMANDS: Readonly<Record<string, string>> = {
  "curl-data-binary": `curl -s -H 'Content-Type: image/png' --data-binary @photo.png "$1?filename=photo.png"`,
  "curl-form": String.raw`curl -s -F note=hi -F 'file=@"写 \"1\".png"' "$1"`,
  "curl-form-escape": String.raw`curl -s --form-escape -F 'file=@"写 \"1\".png"' "$1"`,
  "curl-t": `curl -s -T photo.png "$1/"`,
  "curl-t-stdin": `curl -s -T - "$1/photo.png" < photo.png`,
  "wget-post-file": `wget -q -O- --header 'Content-Type: image/png' --post-file photo.png "$1?filename=photo.png"`,
  "wget-put": `wget -q -O- --header 'Content-Type: image/png' --method=PUT --body-file photo.png "$1/photo.png"`,
};

/** Driven in test/browser/senders.full.test.ts, and Java, which the machines of tests need not have. */
const DRIVEN_ELSEWHERE =
  /^(?:axios-browser|browser-fetch|browser-plain-form|ckeditor|dropzone|filepond|multer-readme-\d|tinymce|uppy-xhr|java-.*)$/;

let place: SendersPlace;
before(async () => {
  const files = ["node-senders.js", "python_senders.py", "requirements.txt"];
  place = await SendersPlace.start(await install(new URL("senders/", import.meta.url), files));
});
after(() => place[Symbol.asyncDispose]());

/** Runs a program to its end and returns its output. */
async function output(
  command: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<string> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd,
    env: { PATH: process.env["PATH"], HOME: place.folder, LC_ALL: "C.UTF-8", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  const [out, error] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await ended) as [number | null];
  assert.equal(code, 0, error + out);
  return out;
}

/** The receipt in the answer that a program prints. */
function receiptIn(out: string): Receipt {
  const { status, body } = JSON.parse(out) as { status: number; body: string };
  assert.equal(status, 201, body);
  return JSON.parse(body) as Receipt;
}

test("every recording is compared with its program", () => {
  const driven = new Set([...NODE, ...PYTHON, ...Object.keys(COMMANDS)]);
  for (const label of LABELS) assert.equal(driven.has(label), !DRIVEN_ELSEWHERE.test(label), label);
});

void describe("packages of npm", () => {
  for (const label of NODE) {
    test(label, async () => {
      const sending = await place.newSending();
      const command = [process.execPath, "node-senders.js", label, place.endpoint, sending.folder];
      await place.assertSent(label, sending, receiptIn(await output(command, { cwd: place.folder })));
    });
  }
});

void describe("packages of PyPI", needing("pip"), () => {
  for (const label of PYTHON) {
    test(label, async () => {
      const sending = await place.newSending();
      const command = ["python3", "python_senders.py", label, place.endpoint, sending.folder];
      const env = { PYTHONPATH: join(place.folder, "python") };
      await place.assertSent(label, sending, receiptIn(await output(command, { cwd: place.folder, env })));
    });
  }
});

void describe("tools of the system", needing("curl", "wget"), () => {
  for (const [label, script] of Object.entries(COMMANDS)) {
    test(label, async () => {
      const sending = await place.newSending();
      const command = ["sh", "-c", script, "sh", place.endpoint];
      await place.assertSent(label, sending, JSON.parse(await output(command, { cwd: sending.folder })) as Receipt);
    });
  }
});
