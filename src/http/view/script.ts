/**
 * What the page does beyond HTML: buttons that copy, links that are whole in what is copied, and a word where the browser cannot
 * show the file. Everything else works without.
 */
export const SCRIPT = /* js */ `
"use strict";
const status = document.querySelector("[role=status]");

for (const code of document.querySelectorAll("code[data-relative]")) {
  const whole = new URL(code.dataset.relative, location.href).href;
  code.textContent = code.textContent.replaceAll(code.dataset.given, () => whole);
}

for (const shown of document.querySelectorAll(".preview > :is(img, video, audio)")) {
  const giveUp = () => {
    shown.hidden = true;
    shown.nextElementSibling.hidden = false;
  };
  if (shown.decode) shown.decode().catch(giveUp);
  else if (shown.error) giveUp();
  else shown.addEventListener("error", giveUp);
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  const label = button.textContent;
  let timer;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const copied = await copy(document.getElementById(button.dataset.copies));
    status.textContent = copied ? "Copied" : "Not copied: use your keyboard, the text is selected";
    button.textContent = copied ? "Copied" : "Selected";
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 2000);
  });
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // without https there is no clipboard for scripts, but what is selected can be copied
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
`;
