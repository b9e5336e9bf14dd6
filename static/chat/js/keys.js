// Keys that work anywhere in the page.

import { byId } from "./page.js";

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "o") {
    event.preventDefault();
    document.querySelector(".sidebar__new")?.click();
  } else if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !isTyping(event.target)) {
    event.preventDefault();
    (byId("question") ?? byId("files-search"))?.focus();
  } else if (event.key === "Escape" && event.target.id === "question") {
    stopAnswer();
  }
});

function isTyping(element) {
  return element.matches("input, textarea, select, [contenteditable]");
}

function stopAnswer() {
  const stop = document.querySelector(".composer__stop");
  if (stop?.checkVisibility()) stop.click();
}
