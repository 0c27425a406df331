import { announce } from "./dom.ts";
import type { Texts } from "./text/en.ts";

/** Milliseconds for which a button shows that it has copied. */
const FEEDBACK_MS = 1500;

/** Makes a button copy a text, and show for a moment whether it has. */
export function copyOnClick(button: HTMLButtonElement, texts: Texts, text: () => string): void {
  const label = button.textContent;
  let timer = 0;
  button.addEventListener("click", () => {
    void copyText(text()).then((copied) => {
      announce(copied ? texts.copied : texts.copyRefused);
      button.textContent = copied ? texts.copied : "✗";
      button.classList.toggle("done", copied);
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        button.textContent = label;
        button.classList.remove("done");
      }, FEEDBACK_MS);
    });
  });
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text);
  }
}

/** Copies as browsers did before the Clipboard API, which they have on https and localhost only. */
function copySelection(text: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
