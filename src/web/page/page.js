// The page's script: takes files that are chosen or dropped, sends them two at a time, and shows their links. It is served
// as it stands; without it the form still works by itself.

/** Uploads under way at once. */
const CONCURRENCY = 2;

const { uploads = "/uploads", maxSize = "0", maxSizeText = "", needsToken } = document.body.dataset;

/** @template {Element} T @param {ParentNode} parent @param {string} selector @param {new () => T} type @returns {T} */
function find(parent, selector, type) {
  const element = parent.querySelector(selector);
  if (element instanceof type) return element;
  throw new Error(`the page has no ${selector}`);
}

const input = find(document, "#file", HTMLInputElement);
const token = find(document, "#token", HTMLInputElement);
const list = find(document, "#list", HTMLUListElement);
const copyAll = find(document, "#copy-all", HTMLButtonElement);
const status = find(document, "#status", HTMLElement);
const template = find(document, "#row", HTMLTemplateElement);

/** One file on its way, and its row. */
class Row {
  /** @param {File} file */
  constructor(file) {
    this.file = file;
    /** @type {string | null} */
    this.url = null;
    /** @type {XMLHttpRequest | null} */
    this.request = null;
    this.element = find(/** @type {DocumentFragment} */ (template.content.cloneNode(true)), "li", HTMLLIElement);
    this.progress = find(this.element, "progress", HTMLProgressElement);
    this.state = find(this.element, ".state", HTMLElement);
    this.link = find(this.element, ".link", HTMLAnchorElement);
    this.copy = find(this.element, ".copy", HTMLButtonElement);
    this.again = find(this.element, ".again", HTMLButtonElement);
    this.cancel = find(this.element, ".cancel", HTMLButtonElement);
    find(this.element, ".name", HTMLElement).textContent = file.name;
    find(this.element, ".size", HTMLElement).textContent = formatSize(file.size);
    this.progress.setAttribute("aria-label", `Progress of ${file.name}`);
    for (const button of [this.copy, this.again, this.cancel]) {
      button.setAttribute("aria-label", `${button.textContent} (${file.name})`);
    }
    this.copy.addEventListener("click", () => void copyText(this.url ?? "", this.copy));
    this.again.addEventListener("click", () => enqueue(this));
    this.cancel.addEventListener("click", () => this.stop());
  }

  wait() {
    this.show("waiting", { cancel: true, progress: true });
    this.progress.value = 0;
  }

  /** Sends the file. @returns {Promise<void>} settles when it is stored, refused or cancelled */
  send() {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      this.request = request;
      const started = performance.now();
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        this.progress.value = loaded / total;
        const rate = loaded / ((performance.now() - started) / 1000);
        const left = (total - loaded) / rate;
        this.state.textContent =
          loaded < total
            ? `${Math.floor((loaded / total) * 100)} %, ${formatSize(rate)}/s, ${formatTime(left)} left`
            : "storing";
      });
      request.addEventListener("load", () => this.answered(request));
      request.addEventListener("error", () => this.fail("The connection broke off."));
      request.addEventListener("abort", () => this.fail("cancelled"));
      request.addEventListener("loadend", () => resolve());
      request.open("POST", uploads);
      request.setRequestHeader("Accept", "application/json");
      if (token.value !== "") request.setRequestHeader("Authorization", `Bearer ${token.value}`);
      const form = new FormData();
      form.append("upload", this.file);
      this.show("sending", { cancel: true, progress: true });
      request.send(form);
    });
  }

  /** @param {XMLHttpRequest} request */
  answered(request) {
    /** @type {{ url?: string, detail?: string }} */
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // a proxy's own page, perhaps
    }
    if (request.status !== 200 && request.status !== 201) {
      this.fail(answer.detail ?? `The server answered ${request.status}.`);
      return;
    }
    this.url = new URL(answer.url ?? "", location.href).href;
    this.link.href = this.url;
    this.link.textContent = this.url.replace(/^https?:\/\//, "");
    this.show(request.status === 201 ? "stored" : "was stored already", { link: true, copy: true });
    status.textContent = `${this.file.name} is stored.`;
    copyAll.hidden = rows.filter(({ url }) => url !== null).length < 2;
  }

  /** @param {string} reason @param {boolean} [again] whether trying again makes sense */
  fail(reason, again = true) {
    this.show(reason, { again });
    this.element.classList.toggle("wrong", reason !== "cancelled");
    status.textContent = `${this.file.name}: ${reason}`;
  }

  stop() {
    queue.delete(this);
    if (this.request === null) this.fail("cancelled");
    else this.request.abort();
  }

  /** @param {string} state @param {{ progress?: boolean, link?: boolean, copy?: boolean, again?: boolean, cancel?: boolean }} shown */
  show(state, shown) {
    this.element.classList.remove("wrong");
    this.state.textContent = state;
    this.progress.hidden = shown.progress !== true;
    this.link.hidden = shown.link !== true;
    this.copy.hidden = shown.copy !== true;
    this.again.hidden = shown.again !== true;
    this.cancel.hidden = shown.cancel !== true;
    if (shown.progress !== true) this.request = null;
  }
}

/** @type {Row[]} */
const rows = [];
/** @type {Set<Row>} */
const queue = new Set();
let sending = 0;

/** @param {Row} row */
function enqueue(row) {
  row.wait();
  if (row.file.size > Number(maxSize)) {
    row.fail(`larger than the limit of ${maxSizeText}`, false);
    return;
  }
  queue.add(row);
  void work();
}

async function work() {
  const [row] = queue;
  if (row === undefined || sending >= CONCURRENCY) return;
  queue.delete(row);
  sending++;
  await row.send();
  sending--;
  void work();
}

/** @param {Iterable<File>} files */
function add(files) {
  for (const file of files) {
    const row = new Row(file);
    rows.push(row);
    list.prepend(row.element);
    find(document, "#files", HTMLElement).hidden = false;
    enqueue(row);
    void work();
  }
}

/** @param {string} text @param {HTMLButtonElement} button */
async function copyText(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    status.textContent = "Copied.";
  } catch {
    // the clipboard is for https and localhost only
    prompt("Copy this:", text);
  }
  setTimeout(() => (button.textContent = label), 1500);
}

/** @param {number} bytes */
function formatSize(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  for (; bytes >= 1024 && index < units.length - 1; index++) bytes /= 1024;
  return `${bytes < 10 && index > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${units[index]}`;
}

/** @param {number} seconds */
function formatTime(seconds) {
  if (!Number.isFinite(seconds)) return "some time";
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

input.multiple = true;
input.required = false;
input.addEventListener("change", () => {
  add(input.files ?? []);
  input.value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.documentElement.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) document.documentElement.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.documentElement.classList.remove("dragging");
  add(event.dataTransfer?.files ?? []);
});
document.addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
copyAll.addEventListener("click", () => {
  const urls = rows.flatMap(({ url }) => url ?? []);
  void copyText(urls.join("\n"), copyAll);
});
find(document, "#curl", HTMLElement).textContent =
  `curl ${needsToken === "true" ? '-H "Authorization: Bearer $TOKEN" ' : ""}-F upload=@FILE ${new URL(uploads, location.href).href}`;
if (needsToken === "true") {
  find(document, "#token-row", HTMLElement).hidden = false;
  token.value = sessionStorage.getItem("token") ?? "";
  token.addEventListener("change", () => sessionStorage.setItem("token", token.value));
}
document.documentElement.classList.add("scripted");
