// What the person is told of the connection: that it is lost and what happens next, that they are offline
// themselves, that it is back. A gap of a moment is not worth a word.

import { byId, on } from "./page.js";

const SHOW_AFTER = 1_000;
const BACK_FOR = 2_000;
const SENTENCES = {
  lost: "Connection lost. Trying again…",
  offline: "You are offline. This page goes on by itself when you are back.",
  back: "Back. Nothing was lost.",
};

const notice = byId("connection");
let timer = 0;
let isLost = false;

if (notice) {
  document.addEventListener("connection:lost", () => {
    isLost = true;
    if (notice.hidden || notice.dataset.state === "back") showSoon();
  });
  document.addEventListener("connection:open", () => {
    isLost = false;
    clearTimeout(timer);
    timer = 0;
    if (navigator.onLine) showBack();
  });
  window.addEventListener("offline", () => show("offline"));
  window.addEventListener("online", () => (isLost ? show("lost") : showBack()));
  on("click", "[data-try-now]", () => document.dispatchEvent(new CustomEvent("connection:try")));
}

function showSoon() {
  timer ||= setTimeout(() => {
    timer = 0;
    show(navigator.onLine ? "lost" : "offline");
  }, SHOW_AFTER);
}

function show(state) {
  clearTimeout(timer);
  timer = 0;
  notice.dataset.state = state;
  notice.querySelector("[data-words]").textContent = SENTENCES[state];
  notice.hidden = false;
}

function showBack() {
  if (notice.hidden || notice.dataset.state === "back") return;
  show("back");
  timer = setTimeout(() => {
    timer = 0;
    notice.hidden = true;
  }, BACK_FOR);
}
