// The page's script: Uppy's Dashboard, which uploads over fixity's own client, and below it the links of what was stored.
// Without it the page's form still works by itself.

import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";
import "./style/page.css";
import "./style/uploader.css";
import "./style/results.css";
import { copying } from "./clipboard.ts";
import { readFacts } from "./facts.ts";
import { find, make } from "./find.ts";
import { ResultList } from "./results/list.ts";
import { loadLanguage, translate } from "./text/language.ts";
import { startUploader } from "./uploader/uploader.ts";

const facts = readFacts(document.body);
const language = await loadLanguage(navigator.languages);
translate(document, language);
startUploader({ facts, language, results: new ResultList(language) });

const authorization = facts.needsToken ? '-H "Authorization: Bearer $TOKEN" ' : "";
const command = `curl ${authorization}-F upload=@FILE ${facts.endpoint}`;
find(document, "#curl", HTMLElement).textContent = command;
const copy = make("button", { type: "button", textContent: language.texts.copyCommand });
copying(copy, language.texts, () => command);
find(document, ".terminal", HTMLElement).append(copy);

document.documentElement.classList.add("scripted");
