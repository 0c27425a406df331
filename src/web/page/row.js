import { find } from "./find.js";
import { formatSize, formatTime } from "./format.js";
import { showThumb } from "./thumb.js";

const { uploads = "/uploads" } = document.body.dataset;
const template = find(document, "#row", HTMLTemplateElement);

/** @typedef {"waiting" | "sending" | "stored" | "wrong" | "cancelled"} Phase */

/** One file, on its way or arrived, as a row of the list. Tells of every change by a `change` event. */
export class Row extends EventTarget {
  /** @type {string | null} the absolute link */
  url = null;
  /** @type {Phase} */
  phase = "waiting";
  /** A token would help, or another one. */
  unauthorized = false;
  /** @type {XMLHttpRequest | null} */
  #request = null;

  /** @param {File} file */
  constructor(file) {
    super();
    this.file = file;
    this.element = find(/** @type {DocumentFragment} */ (template.content.cloneNode(true)), "li", HTMLLIElement);
    this.progress = find(this.element, "progress", HTMLProgressElement);
    this.state = find(this.element, ".state", HTMLElement);
    this.link = find(this.element, ".link", HTMLAnchorElement);
    this.copy = find(this.element, ".copy", HTMLButtonElement);
    this.again = find(this.element, ".again", HTMLButtonElement);
    this.cancel = find(this.element, ".cancel", HTMLButtonElement);
    const name = find(this.element, ".name", HTMLElement);
    name.textContent = name.title = file.name;
    find(this.element, ".size", HTMLElement).textContent = formatSize(file.size);
    showThumb(find(this.element, ".thumb", HTMLElement), file);
    this.progress.setAttribute("aria-label", `Progress of ${file.name}`);
    for (const button of [this.copy, this.again, this.cancel]) {
      button.setAttribute("aria-label", `${button.textContent} (${file.name})`);
    }
  }

  wait() {
    this.progress.value = 0;
    this.#show("waiting", "Waiting", [this.progress, this.cancel]);
  }

  /** Sends the file. @param {string} token or nothing @returns {Promise<void>} settles when it has arrived or not */
  send(token) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      this.#request = request;
      const started = performance.now();
      request.upload.addEventListener("progress", (event) => this.#progressed(event, performance.now() - started));
      request.addEventListener("load", () => this.#answered(request));
      request.addEventListener("error", () => void this.#brokeOff());
      request.addEventListener("abort", () => this.#cancelled());
      request.addEventListener("loadend", () => resolve());
      request.open("POST", uploads);
      request.setRequestHeader("Accept", "application/json");
      if (token !== "") request.setRequestHeader("Authorization", `Bearer ${token}`);
      const form = new FormData();
      form.append("upload", this.file);
      this.#show("sending", "Sending", [this.progress, this.cancel]);
      request.send(form);
    });
  }

  /** Ends the sending, or the wait for it. */
  stop() {
    if (this.#request === null) this.#cancelled();
    else this.#request.abort();
  }

  /** @param {string} reason @param {boolean} [again] whether trying again makes sense */
  fail(reason, again = true) {
    this.#show("wrong", reason, again ? [this.again] : []);
  }

  #cancelled() {
    this.#show("cancelled", "Cancelled", [this.again]);
  }

  /** @param {ProgressEvent} event @param {number} time in milliseconds */
  #progressed({ loaded, total }, time) {
    this.progress.value = loaded / total;
    const rate = loaded / (time / 1000);
    const left = formatTime((total - loaded) / rate);
    this.state.textContent =
      loaded < total ? `${Math.floor((loaded / total) * 100)} %, ${formatSize(rate)}/s, ${left} left` : "Storing";
  }

  /** @param {XMLHttpRequest} request */
  #answered({ status, responseText }) {
    /** @type {{ url?: string, detail?: string }} */
    let answer = {};
    try {
      answer = JSON.parse(responseText);
    } catch {
      // a proxy's own page, perhaps
    }
    if ((status !== 200 && status !== 201) || answer.url === undefined) {
      this.fail(answer.detail ?? `The server answered ${status}.`);
      this.unauthorized = status === 401;
      return;
    }
    this.url = new URL(answer.url, location.href).href;
    this.link.href = this.url;
    this.link.textContent = this.url.replace(/^https?:\/\//, "");
    this.#show("stored", status === 201 ? "Stored" : "Already stored", [this.link, this.copy]);
  }

  /** Browsers do not say whether it was the connection or the file. */
  async #brokeOff() {
    try {
      await this.file.slice(0, 1).arrayBuffer();
      this.fail("The connection broke off.");
    } catch {
      this.fail("The file cannot be read. It may have been moved or changed.");
    }
  }

  /** @param {Phase} phase @param {string} text @param {HTMLElement[]} shown everything else is hidden */
  #show(phase, text, shown) {
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    if (!shown.includes(this.progress)) this.#request = null;
    this.phase = phase;
    this.unauthorized = false;
    this.element.dataset.phase = phase;
    this.state.textContent = text;
    const parts = [this.progress, this.link, this.copy, this.again, this.cancel];
    for (const part of parts) part.hidden = !shown.includes(part);
    // who came here with the keyboard must not be sent back to the top
    if (focused instanceof HTMLElement && focused.hidden) shown.at(-1)?.focus();
    this.dispatchEvent(new Event("change"));
  }
}
