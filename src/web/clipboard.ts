import { announce } from "./announce.ts";
import type { Texts } from "./text/en.ts";

/** Milliseconds for which a button says that it has copied. */
const COPIED = 1500;

/** Puts text into the clipboard, without `https` as well, where browsers have the old way only. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

function copySelected(text: string): boolean {
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

/** Makes a button copy what it is asked for, and say so for a moment. */
export function copying(button: HTMLButtonElement, texts: Texts, text: () => string): void {
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
      }, COPIED);
    });
  });
}
