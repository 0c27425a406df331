// The page's script: takes files that are chosen, dropped or pasted, sends them two at a time, and shows their links. It is
// served as it stands; without it the form still works by itself.

import { copyText } from "./clipboard.js";
import { filesIn } from "./dropped.js";
import { find } from "./find.js";
import { Row } from "./row.js";

/** Uploads under way at once. */
const CONCURRENCY = 2;
/** Milliseconds for which a button says that it has copied. */
const COPIED = 1500;

const { uploads = "/uploads", maxSize = "0", maxSizeText = "", needsToken } = document.body.dataset;

const input = find(document, "#file", HTMLInputElement);
const token = find(document, "#token", HTMLInputElement);
const files = find(document, "#files", HTMLElement);
const list = find(document, "#list", HTMLUListElement);
const tally = find(document, "#tally", HTMLElement);
const copyAll = find(document, "#copy-all", HTMLButtonElement);
const status = find(document, "#status", HTMLElement);

/** @type {Row[]} */
const rows = [];
/** @type {Set<Row>} */
const queue = new Set();
let sending = 0;

/** @param {Iterable<File>} chosen */
function add(chosen) {
  for (const file of chosen) {
    const row = new Row(file);
    row.addEventListener("change", () => changed(row));
    row.again.addEventListener("click", () => enqueue(row));
    row.cancel.addEventListener("click", () => {
      queue.delete(row);
      row.stop();
    });
    row.copy.addEventListener("click", () => void copy(row.url ?? "", row.copy));
    rows.push(row);
    list.prepend(row.element);
    files.hidden = false;
    enqueue(row);
  }
}

/** @param {Row} row */
function enqueue(row) {
  if (row.file.size > Number(maxSize)) {
    row.fail(`Larger than the limit of ${maxSizeText}.`, false);
  } else if (needsToken === "true" && token.value === "") {
    row.fail("Enter the token first.");
    row.unauthorized = true;
    token.focus();
  } else {
    row.wait();
    queue.add(row);
    void work();
  }
}

async function work() {
  const [row] = queue;
  if (row === undefined || sending >= CONCURRENCY) return;
  queue.delete(row);
  sending++;
  await row.send(token.value);
  sending--;
  void work();
}

/** @param {Row} row */
function changed(row) {
  const stored = rows.filter(({ phase }) => phase === "stored").length;
  tally.textContent = `${stored} of ${rows.length} stored`;
  copyAll.hidden = stored < 2;
  if (row.phase !== "waiting" && row.phase !== "sending") {
    status.textContent = `${row.file.name}: ${row.state.textContent}`;
  }
}

/** @param {string} text @param {HTMLButtonElement} button */
async function copy(text, button) {
  const copied = await copyText(text);
  status.textContent = copied ? "Copied" : "Your browser does not let this page copy.";
  button.dataset.label ??= button.textContent ?? "";
  button.textContent = copied ? "Copied" : "Not allowed";
  setTimeout(() => (button.textContent = button.dataset.label ?? ""), COPIED);
}

/** @param {DragEvent} event */
function bringsFiles({ dataTransfer }) {
  return dataTransfer?.types.includes("Files") === true;
}

/** @param {boolean} dragging */
function showDragging(dragging) {
  document.documentElement.classList.toggle("dragging", dragging);
}

input.multiple = true;
input.required = false;
input.addEventListener("change", () => {
  add(input.files ?? []);
  input.value = "";
});
document.addEventListener("dragover", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  showDragging(true);
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (relatedTarget === null) showDragging(false);
});
document.addEventListener("drop", (event) => {
  if (!bringsFiles(event)) return;
  event.preventDefault();
  showDragging(false);
  void filesIn(event.dataTransfer).then(add);
});
document.addEventListener("paste", ({ clipboardData }) => void filesIn(clipboardData).then(add));
window.addEventListener("beforeunload", (event) => {
  if (sending > 0) event.preventDefault();
});
copyAll.addEventListener("click", () => void copy(rows.flatMap(({ url }) => url ?? []).join("\n"), copyAll));
token.value = sessionStorage.getItem("token") ?? "";
token.addEventListener("change", () => {
  sessionStorage.setItem("token", token.value);
  for (const row of rows) if (row.unauthorized) enqueue(row);
});
// Enter in the token's field has done its work by then
find(document, "#form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());

const header = needsToken === "true" ? '-H "Authorization: Bearer $TOKEN" ' : "";
find(document, "#curl", HTMLElement).textContent =
  `curl ${header}-F upload=@FILE ${new URL(uploads, location.href).href}`;
document.documentElement.classList.add("scripted");
