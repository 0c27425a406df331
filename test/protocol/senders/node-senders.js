/**
 * Sends a file with one of the packages of package.json beside this file, which must be installed beside it:
 * `node node-senders.js LABEL ENDPOINT FOLDER`. Prints the status and the body of the answer as the package reports them.
 */
import { createReadStream, openAsBlob } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";

const [, , label, endpoint, folder] = process.argv;
const photo = join(folder, "photo.png");
const oddlyNamed = join(folder, '写 "1".png');

/** A form of the platform, or of a package that has its own. */
async function platformForm({ FormData = globalThis.FormData, File = globalThis.File } = {}) {
  const form = new FormData();
  form.append("note", "hi");
  form.append("file", new File([await readFile(oddlyNamed)], basename(oddlyNamed), { type: "image/png" }));
  return form;
}

/** A form of the package form-data in one of its versions. */
async function packageForm(version) {
  const { default: FormData } = await import(version);
  const form = new FormData();
  form.append("note", "hi");
  form.append("file", await readFile(oddlyNamed), { filename: basename(oddlyNamed), contentType: "image/png" });
  return form;
}

/** By `form.submit`, which is the package's own way to send. */
async function submit(form) {
  const response = await new Promise((resolve, reject) => {
    form.submit(endpoint, (error, response) => (error ? reject(error) : resolve(response)));
  });
  return { status: response.statusCode, body: await text(response) };
}

async function fetched(response) {
  return { status: response.status, body: await response.text() };
}

const byAxios = ({ status, data }) => ({ status, body: JSON.stringify(data) });
const byGot = ({ statusCode, body }) => ({ status: statusCode, body });
const bySuperagent = ({ status, text }) => ({ status, body: text });

const SENDERS = {
  "axios-buffer": async () => {
    const { default: axios } = await import("axios");
    const headers = { "Content-Type": "image/png" };
    return byAxios(await axios.put(`${endpoint}/a%20b.png`, await readFile(photo), { headers }));
  },
  "axios-stream": async () => {
    const { default: axios } = await import("axios");
    const headers = { "Content-Type": "application/octet-stream" };
    return byAxios(await axios.post(`${endpoint}?filename=a.png`, createReadStream(photo), { headers }));
  },
  "axios-formdata": async () => {
    const { default: axios } = await import("axios");
    return byAxios(await axios.post(endpoint, await platformForm()));
  },
  "axios-form-data-4.0.5": async () => {
    const { default: axios } = await import("axios");
    return byAxios(await axios.post(endpoint, await packageForm("form-data-4.0.5")));
  },
  "fetch-blob": async () => {
    const body = await openAsBlob(photo, { type: "image/png" });
    return fetched(await fetch(`${endpoint}/photo.png`, { method: "PUT", body }));
  },
  "fetch-blob-in-form": async () => {
    const body = new FormData();
    body.append("file", new Blob([await readFile(photo)], { type: "image/png" }));
    return fetched(await fetch(endpoint, { method: "POST", body }));
  },
  "form-data-4.0.5-submit": async () => submit(await packageForm("form-data-4.0.5")),
  "form-data-4.0.6-submit": async () => submit(await packageForm("form-data")),
  "form-data-4.0.6-stream": async () => {
    const { default: FormData } = await import("form-data");
    const form = new FormData();
    form.append("upload", createReadStream(photo));
    return submit(form);
  },
  "got-formdata": async () => {
    const { default: got } = await import("got");
    return byGot(await got.post(endpoint, { body: await platformForm() }));
  },
  "got-16-formdata": async () => {
    const { default: got } = await import("got-16");
    return byGot(await got.post(endpoint, { body: await platformForm() }));
  },
  "got-form-data-4.0.5": async () => {
    const { default: got } = await import("got");
    return byGot(await got.post(endpoint, { body: await packageForm("form-data-4.0.5") }));
  },
  "got-stream": async () => {
    const { default: got } = await import("got");
    return byGot(await got.put(`${endpoint}/photo.png`, { body: createReadStream(photo) }));
  },
  "ky-formdata": async () => {
    const { default: ky } = await import("ky");
    return fetched(await ky.post(endpoint, { body: await platformForm() }));
  },
  "node-fetch-formdata": async () => {
    const { default: fetch, FormData, File } = await import("node-fetch");
    return fetched(await fetch(endpoint, { method: "POST", body: await platformForm({ FormData, File }) }));
  },
  "node-fetch-form-data-4.0.5": async () => {
    const { default: fetch } = await import("node-fetch");
    return fetched(await fetch(endpoint, { method: "POST", body: await packageForm("form-data-4.0.5") }));
  },
  "node-fetch-blob-nameless": async () => {
    const { default: fetch, FormData, File } = await import("node-fetch");
    const body = new FormData();
    body.append("file", new File([await readFile(photo)], "", { type: "image/png" }));
    return fetched(await fetch(endpoint, { method: "POST", body }));
  },
  "superagent-attach": async () => {
    const { default: superagent } = await import("superagent");
    const file = await readFile(oddlyNamed);
    const options = { filename: basename(oddlyNamed), contentType: "image/png" };
    return bySuperagent(await superagent.post(endpoint).field("note", "hi").attach("file", file, options));
  },
  "superagent-attach-path": async () => {
    const { default: superagent } = await import("superagent");
    return bySuperagent(await superagent.post(endpoint).attach("file", photo));
  },
  "undici-fetch-formdata": async () => {
    const { fetch, FormData, File } = await import("undici");
    const form = await platformForm({ FormData, ...(File !== undefined && { File }) });
    return fetched(await fetch(endpoint, { method: "POST", body: form }));
  },
  "undici-request-stream": async () => {
    const { request } = await import("undici");
    const body = Readable.from(createReadStream(photo));
    const answer = await request(`${endpoint}?filename=photo.png`, { method: "POST", body });
    return { status: answer.statusCode, body: await answer.body.text() };
  },
};

process.stdout.write(JSON.stringify(await SENDERS[label]()));
