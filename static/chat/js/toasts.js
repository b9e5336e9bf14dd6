// Toasts leave by themselves after a while, unless someone is about to use them.

import { byId, on } from "./page.js";

const STAY = 8_000;
const FADE = 250;
const toasts = byId("toasts");

function schedule(toast) {
  clearTimeout(toast.leaving);
  toast.leaving = setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) return schedule(toast);
    dismiss(toast);
  }, STAY);
}

function dismiss(toast) {
  toast.dataset.leaving = "";
  setTimeout(() => toast.remove(), FADE);
}

if (toasts) {
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) if (node.matches?.("[data-toast]")) schedule(node);
    }
  }).observe(toasts, { childList: true });
  toasts.querySelectorAll("[data-toast]").forEach(schedule);
  on("click", "[data-dismiss]", (event, button) => dismiss(button.closest("[data-toast]")));
}
