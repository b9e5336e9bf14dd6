// Copying a code block as it stands, or an answer as Markdown.

import { announce, byId, on } from "./page.js";
import { toMarkdown } from "./to-markdown.js";

const SHOWN_FOR = 1_600;

on("click", "[data-copy]", (event, button) => {
  const code = button.closest(".code")?.querySelector("pre");
  if (code) copy(button, code.textContent.replace(/\n$/, ""));
});

on("click", "[data-copy-answer]", (event, button) => {
  const answer = byId(button.dataset.copyAnswer);
  if (answer) copy(button, toMarkdown(answer));
});

async function copy(button, text) {
  const done = await write(text);
  announce(done ? "Copied" : "Copying is not possible here");
  if (done) showDone(button);
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeBySelection(text);
  }
}

/** Over plain HTTP there is no clipboard API. */
function writeBySelection(text) {
  const box = document.createElement("textarea");
  box.value = text;
  box.className = "visually-hidden";
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  return done;
}

function showDone(button) {
  const use = button.querySelector("use");
  if ("copied" in button.dataset) return;
  button.dataset.copied = "";
  const before = use ? use.getAttribute("href") : button.textContent;
  if (use) use.setAttribute("href", before.replace(/#.*/, "#check"));
  else button.textContent = "Copied";
  setTimeout(() => {
    delete button.dataset.copied;
    if (use) use.setAttribute("href", before);
    else button.textContent = before;
  }, SHOWN_FOR);
}
