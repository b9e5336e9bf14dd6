// The Files page, and earlier files in a message.

import { announce, byId, on, onChange } from "./page.js";

let shown = byId("library");

onChange(() => {
  const library = byId("library");
  if (library === shown) return;
  shown = library;
  if (!library) return;
  document.title = library.dataset.title;
  document.querySelector(".conversation-item__link[aria-current]")?.removeAttribute("aria-current");
  announce(document.title);
  byId("main").focus({ preventScroll: true });
  document.dispatchEvent(new CustomEvent("chat:opened", { detail: { conversation: "" } }));
});

// It has searched already, letter by letter.
on("submit", "[data-quiet-search]", (event) => event.preventDefault());

// An earlier file is taken out of the message alone: the server is asked nothing.
on("click", "[data-remove-chip]:not([hx-delete])", (event, button) => {
  button.closest(".chip").remove();
  byId("question")?.focus({ preventScroll: true });
});

on("change", "[data-choices]", (event, form) => sayHowMany(form));
document.addEventListener("htmx:afterSwap", () => {
  const form = document.querySelector("[data-choices]");
  if (form) sayHowMany(form);
});

function sayHowMany(form) {
  const chosen = form.querySelectorAll("input:checked").length;
  const button = form.querySelector("[data-choose]");
  button.disabled = !chosen;
  button.textContent = chosen > 1 ? `Attach ${chosen} files` : "Attach";
}

// Where the focus was is gone with the file, or is the button that opened the list.
document.addEventListener(
  "close",
  ({ target }) => {
    if (target.matches(".choices, .excerpt, .summary")) byId("question")?.focus({ preventScroll: true });
    else if (document.activeElement === document.body) byId("files-search")?.focus({ preventScroll: true });
  },
  { capture: true },
);
