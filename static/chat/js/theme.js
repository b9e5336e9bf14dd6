// The switch between the system's, a light and a dark appearance. theme-early.js applies it on load.

import { on, onChange } from "./page.js";
import { recall, remember } from "./storage.js";

on("click", "[data-theme-choice]", (event, button) => {
  const choice = button.dataset.themeChoice;
  remember("localStorage", "theme", choice === "system" ? "" : choice);
  document.documentElement.dataset.theme = choice;
  showChoice();
});

// Another tab switched.
window.addEventListener("storage", (event) => {
  if (event.key !== "theme") return;
  document.documentElement.dataset.theme = event.newValue || "system";
  showChoice();
});

onChange(showChoice);

function showChoice() {
  const choice = recall("localStorage", "theme") || "system";
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
}
