// Enhances the page of a link, which works without it: buttons that copy, absolute links in the snippets, and a message if the
// browser cannot display the file. A classic script, contained in the page.
"use strict";
const status = document.querySelector("[role=status]");

for (const code of document.querySelectorAll("code[data-relative]")) {
  const absolute = new URL(code.dataset.relative, location.href).href;
  code.textContent = code.textContent.replaceAll(code.dataset.given, () => absolute);
}

for (const element of document.querySelectorAll(".preview > :is(img, video, audio)")) {
  const showMessage = () => {
    element.hidden = true;
    element.nextElementSibling.hidden = false;
  };
  if (element.decode) element.decode().catch(showMessage);
  else if (element.error) showMessage();
  else element.addEventListener("error", showMessage);
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  const label = button.textContent;
  let timer;
  const copyAndReport = async () => {
    const copied = await copy(document.getElementById(button.dataset.copies));
    status.textContent = copied ? "Copied" : "Not copied: use your keyboard, the text is selected";
    button.textContent = copied ? "Copied" : "Selected";
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 2000);
  };
  button.hidden = false;
  button.addEventListener("click", () => void copyAndReport());
}

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    // Without HTTPS, scripts have no clipboard, but a selection can be copied.
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
