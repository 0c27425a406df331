/**
 * Pages with the front ends of package.json beside this file. Each has an input `#file` and, unless it is a plain form, a
 * function `send(file)` that resolves to the text that the front end's own success event holds.
 */
import { readFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { extname, join, normalize } from "node:path";
import { build } from "esbuild";

const ROOT = new URL("../../../", import.meta.url);

/** The start of every page. Pages get the collection's URL in their query. */
const START = `<!doctype html><meta charset="utf-8"><title>sender</title><link rel="icon" href="data:,">
<script>const endpoint = new URLSearchParams(location.search).get("endpoint");</script>`;
const INPUT = '<input type="file" id="file">';

const SCRIPTED: Readonly<Record<string, string>> = {
  "browser-fetch": `${INPUT}<script>
    async function send(file) {
      const body = new FormData();
      body.append("note", "hi");
      body.append("file", file);
      return (await fetch(endpoint, { method: "POST", body })).text();
    }
  </script>`,
  "axios-browser": `${INPUT}<script src="/packages/axios/dist/axios.min.js"></script><script>
    async function send(file) {
      return JSON.stringify((await axios.postForm(endpoint, { file })).data);
    }
  </script>`,
  ckeditor: `${INPUT}<div id="editor"></div><script src="/packages/ckeditor5/dist/browser/ckeditor5.umd.js"></script><script>
    async function send(file) {
      const { ClassicEditor, Essentials, Paragraph, Image, ImageUpload, SimpleUploadAdapter } = CKEDITOR;
      const editor = await ClassicEditor.create(document.querySelector("#editor"), {
        licenseKey: "GPL",
        plugins: [Essentials, Paragraph, Image, ImageUpload, SimpleUploadAdapter],
        simpleUpload: { uploadUrl: endpoint },
      });
      const { promise, resolve, reject } = Promise.withResolvers();
      editor.plugins.get("ImageUploadEditing").on("uploadComplete", (_, { data }) => resolve(data));
      editor.plugins.get("Notification").on("show:warning", (_, { message }) => reject(new Error(message)));
      editor.execute("uploadImage", { file });
      const data = await promise;
      while (!editor.getData().includes('src="' + data.url + '"')) await new Promise(requestAnimationFrame);
      return JSON.stringify(data);
    }
  </script>`,
  dropzone: `${INPUT}<div id="zone"></div><script src="/packages/dropzone/dist/dropzone-min.js"></script><script>
    Dropzone.autoDiscover = false;
    function send(file) {
      const { promise, resolve, reject } = Promise.withResolvers();
      const zone = new Dropzone("#zone", { url: endpoint });
      zone.on("success", (file) => resolve(file.xhr.response));
      // the thumbnail fails too, because the file is not a real picture; that is no error of the upload
      zone.on("error", (file, message) => file.status === Dropzone.ERROR && reject(new Error(JSON.stringify(message))));
      zone.addFile(file);
      return promise;
    }
  </script>`,
  filepond: `${INPUT}<input type="file" id="pond"><script src="/packages/filepond/dist/filepond.js"></script><script>
    function send(file) {
      const { promise, resolve, reject } = Promise.withResolvers();
      const pond = FilePond.create(document.querySelector("#pond"), { server: endpoint });
      pond.on("processfile", (error, item) => error ? reject(new Error(JSON.stringify(error))) : resolve(item.serverId));
      pond.addFile(file);
      return promise;
    }
  </script>`,
  "uppy-xhr": `${INPUT}<script src="/uppy.js"></script><script>
    function send(file) {
      const { promise, resolve, reject } = Promise.withResolvers();
      const uppy = new Uppy({ autoProceed: true }).use(XHRUpload, { endpoint });
      uppy.on("upload-success", (_, { body }) => resolve(JSON.stringify(body)));
      uppy.on("upload-error", (_, error) => reject(error));
      uppy.addFile({ name: file.name, type: file.type, data: file });
      return promise;
    }
  </script>`,
};

/** A plain form with more inputs than the file's. */
const PLAIN_FORM = `<form id="form" method="post" enctype="multipart/form-data"><input name="note" value="hi">
  <input type="file" name="avatar"><input type="file" name="file" id="file"><input type="file" name="more"></form>
  <script>document.querySelector("#form").action = endpoint;</script>`;

/** TinyMCE with the upload handler of docs/senders.md. */
async function tinymce(): Promise<string> {
  const docs = await readFile(new URL("docs/senders.md", ROOT), "utf8");
  const [, options] = /tinymce\.init\(([^]*?)\);\n```/.exec(docs) ?? [];
  if (options === undefined) throw new Error("docs/senders.md has no example for TinyMCE");
  return `${INPUT}<textarea id="text"></textarea><script src="/packages/tinymce/tinymce.min.js"></script><script>
    async function send(file) {
      const options = ${options.replace('"https://files.example.com/uploads"', "endpoint")};
      const [editor] = await tinymce.init({ selector: "#text", license_key: "gpl", ...options });
      const reader = new FileReader();
      reader.readAsDataURL(file);
      await new Promise((resolve) => reader.addEventListener("load", resolve));
      editor.setContent('<img src="' + reader.result + '">');
      const [{ status, uploadUri }] = await editor.uploadImages();
      if (!status) throw new Error("TinyMCE did not upload");
      return JSON.stringify({ url: uploadUri });
    }
  </script>`;
}

/** The forms of multer's README, with fixity as the action. */
async function multerForms(): Promise<readonly string[]> {
  const readme = await readFile(new URL("node_modules/multer/README.md", ROOT), "utf8");
  const forms = [...readme.matchAll(/```html\n(<form[^]*?)```/g)].map(([, html = ""]) =>
    html.replace(/action="[^"]*"/, 'id="form"').replace('type="file"', 'type="file" id="file"'),
  );
  return forms.map((form) => `${form}<script>document.querySelector("#form").action = endpoint;</script>`);
}

/** Serves the pages at `/pages/<label>`, and the packages in a folder. */
export async function servePages(
  packages: string,
): Promise<{ readonly labels: readonly string[]; readonly pages: RequestListener }> {
  const byLabel = new Map(Object.entries({ ...SCRIPTED, "browser-plain-form": PLAIN_FORM, tinymce: await tinymce() }));
  for (const [index, form] of (await multerForms()).entries()) byLabel.set(`multer-readme-${index + 1}`, form);
  const { outputFiles } = await build({
    stdin: {
      contents: `import Uppy from "@uppy/core"; import XHRUpload from "@uppy/xhr-upload"; Object.assign(window, { Uppy, XHRUpload });`,
      resolveDir: packages,
    },
    bundle: true,
    write: false,
    platform: "browser",
  });
  const types: Readonly<Record<string, string>> = { ".js": "text/javascript", ".css": "text/css" };
  return {
    labels: [...byLabel.keys()],
    pages: ({ url = "/" }, response) => {
      const { pathname } = new URL(url, "http://site");
      const page = byLabel.get(pathname.slice("/pages/".length));
      if (page !== undefined) {
        response.setHeader("Content-Type", "text/html").end(START + page);
      } else if (pathname === "/uppy.js") {
        response.setHeader("Content-Type", "text/javascript").end(outputFiles[0]?.text);
      } else {
        const path = join(packages, "node_modules", normalize(pathname.slice("/packages".length)));
        readFile(path).then(
          (bytes) => response.setHeader("Content-Type", types[extname(path)] ?? "application/octet-stream").end(bytes),
          () => response.writeHead(404).end(),
        );
      }
    },
  };
}
