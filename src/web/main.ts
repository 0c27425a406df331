/**
 * The page's script. `startUploader` (uploader/) sets up Uppy's Dashboard with the plugin of
 * `fixity/uppy`; each stored file moves from there to the `ResultList` (results/), which shows its
 * link. `text/` has the texts in each language, `storage.ts` the state that survives a reload. The credentials are a token
 * that the user enters (`token.ts`), or a permit in the page's address (`permit.ts`).
 * Without the script the page's form works by itself.
 */
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";
import "./style/page.css";
import "./style/uploader.css";
import "./style/results.css";
import { copyOnClick } from "./clipboard.ts";
import { find, make } from "./dom.ts";
import { History } from "./results/history.ts";
import { ResultList } from "./results/list.ts";
import { recallPermit, takePermit } from "./permit.ts";
import { readSettings } from "./settings.ts";
import { takeToken } from "./token.ts";
import { loadLanguage, translate } from "./text/language.ts";
import { startUploader } from "./uploader/uploader.ts";

// first, because the address bar shows it until then
const token = takeToken();
const permit = takePermit() ?? (token === null ? recallPermit() : null);
const settings = readSettings(document.body);
const language = await loadLanguage(navigator.languages);
translate(document, language);
const history = new History(new URL(settings.endpoint).pathname, { mayUseDevice: permit === null });
startUploader({ settings, language, permit, token, results: new ResultList(language, history) });

const authorization = settings.needsToken ? '-H "Authorization: Bearer $TOKEN" ' : "";
const command = `curl ${authorization}-F upload=@FILE ${settings.endpoint}`;
find(document, "#curl", HTMLElement).textContent = command;
const copy = make("button", { type: "button", textContent: language.texts.copyCommand });
copyOnClick(copy, language.texts, () => command);
find(document, ".terminal", HTMLElement).append(copy);

document.documentElement.classList.add("scripted");
