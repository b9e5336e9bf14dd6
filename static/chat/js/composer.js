// The box one writes in: grows with the text, sends on Enter, never loses a word.

import { estimate } from "./estimate.js";
import { byId, currentConversation, offerToSendAgain, on, onChange, showProblem } from "./page.js";
import { forgetAll, recall, remember } from "./storage.js";

const SIZES_ITSELF = CSS.supports("field-sizing", "content");
const UNFINISHED = ".chip--uploading, .chip--checking, .chip--paused";
const OFFLINE = "You are offline. Your message is kept here; send it when you are back.";

// What was written stays with its writer: whoever signs in next in this tab finds none of it.
const writer = byId("live")?.dataset.person ?? "";
if (recall("sessionStorage", "writer") !== writer) forgetAll("sessionStorage");
remember("sessionStorage", "writer", writer);
on("submit", "[data-sign-out]", () => forgetAll("sessionStorage"));

let composer = null;
const chipsChanged = new MutationObserver(() => {
  keepDraft();
  update();
  estimate();
});

onChange(() => {
  const found = document.querySelector("[data-composer]");
  if (found !== composer) adopt(found);
  update();
  estimate();
});

function adopt(form) {
  composer = form;
  chipsChanged.disconnect();
  if (!form) return;
  restoreDraft();
  autosize();
  chipsChanged.observe(byId("chips"), { childList: true, subtree: true, attributeFilter: ["class"] });
  // On a phone, focus would bring up the keyboard over what one wants to read.
  const busyElsewhere = document.activeElement?.matches("input, textarea, dialog *");
  if (matchMedia("(pointer: fine)").matches && !busyElsewhere) byId("question").focus({ preventScroll: true });
}

/** Why the message cannot go now; empty when it can. */
function obstacle() {
  if (document.querySelector(".conversation [data-live]")) return "Wait for the answer, or stop it";
  if (byId("chips").querySelector(UNFINISHED)) return "Wait until the upload is finished";
  if ("sending" in composer.dataset) return "Sending";
  const hasFiles = byId("chips").querySelector("input[name=attachment]");
  return byId("question").value.trim() || hasFiles ? "" : "Write a message first";
}

function update() {
  if (!composer) return;
  const button = composer.querySelector(".composer__send");
  const reason = obstacle();
  button.disabled = Boolean(reason);
  button.title = reason || "Send";
}

on("input", "[data-autosize]", () => {
  autosize();
  keepDraft();
  showProblem("");
  update();
});

on("keydown", "[data-autosize]", (event, box) => {
  // While an input method composes a word, Enter chooses it. Safari says so by the key code only.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  if (!obstacle()) box.form.requestSubmit();
});

// What composer-early.js noted goes when htmx has the form, too.
document.documentElement.dataset.sends = "";
document.addEventListener("DOMContentLoaded", () => {
  if (!composer || !("wanted" in composer.dataset)) return;
  delete composer.dataset.wanted;
  if (!obstacle()) composer.requestSubmit();
});

on("click", ".composer__box", (event, box) => {
  if (!event.target.closest("button, a, input, textarea, .chip")) box.querySelector("textarea").focus();
});

on("click", "[data-suggestion]", (event, button) => write(button.dataset.suggestion));

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target !== composer) return;
  if (obstacle()) {
    event.preventDefault();
    return;
  }
  if (!navigator.onLine) {
    event.preventDefault();
    offerToSendAgain(OFFLINE);
    return;
  }
  composer.dataset.sending = "";
  showProblem("");
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.elt !== composer) return;
  delete composer.dataset.sending;
  update();
});

// The question is stored: what was in the box is in the conversation now.
document.addEventListener("asked", () => {
  byId("chips").replaceChildren();
  showProblem("");
  write("");
});

function write(text) {
  const box = byId("question");
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  if (matchMedia("(pointer: fine)").matches || text) box.focus({ preventScroll: true });
}

function autosize() {
  if (SIZES_ITSELF) return;
  const box = byId("question");
  box.style.blockSize = "auto";
  box.style.blockSize = `${box.scrollHeight}px`;
}

// A draft outlives a reload and a look at another conversation: the text, and the files that are ready.

function keepDraft() {
  const ready = [...byId("chips").querySelectorAll(".chip--ready")].map((chip) => chip.outerHTML);
  remember("sessionStorage", `draft:${currentConversation()}`, byId("question").value);
  remember("sessionStorage", `files:${currentConversation()}`, ready.join(""));
}

function restoreDraft() {
  const box = byId("question");
  box.value ||= recall("sessionStorage", `draft:${currentConversation()}`);
  const files = recall("sessionStorage", `files:${currentConversation()}`);
  const chips = byId("chips");
  if (!files || chips.children.length) return;
  chips.innerHTML = files;
  htmx.process(chips);
}
