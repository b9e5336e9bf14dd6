// The list of conversations: a column that folds away on a desk, a drawer on a phone; renaming in place.

import { byId, on } from "./page.js";
import { remember } from "./storage.js";

const root = document.documentElement;
const narrow = matchMedia("(width < 900px)");
let opener = null;

on("click", "[data-open-sidebar]", (event, button) => {
  if (narrow.matches) openDrawer(button);
  else fold(false);
});

on("click", "[data-close-sidebar]", () => {
  if (narrow.matches) closeDrawer();
  else fold(true);
});

// In the drawer, choosing a conversation is also leaving the drawer.
on("click", ".sidebar a[hx-get]", () => narrow.matches && closeDrawer());
document.addEventListener("chat:opened", () => closeDrawer());
narrow.addEventListener("change", () => closeDrawer());

function fold(away) {
  remember("localStorage", "sidebar", away ? "collapsed" : "");
  if (away) root.dataset.sidebar = "collapsed";
  else delete root.dataset.sidebar;
  document.querySelector(away ? "[data-open-sidebar]" : ".sidebar__close")?.focus();
}

function openDrawer(button) {
  opener = button;
  root.dataset.drawer = "open";
  byId("main").inert = true;
  document.querySelector(".sidebar__close")?.focus();
}

function closeDrawer() {
  if (!root.dataset.drawer) return;
  delete root.dataset.drawer;
  byId("main").inert = false;
  if (opener?.isConnected) opener.focus();
  opener = null;
}

// Renaming: Enter saves (the form does), Escape and leaving the field put the old title back.
on("focusin", "[data-rename]", (event, input) => input.select());
on("keydown", "[data-rename]", (event, input) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  cancelRename(input);
});
on("submit", ".rename", (event, form) => (form.dataset.saving = ""));
on("focusout", "[data-rename]", (event, input) => cancelRename(input));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented && root.dataset.drawer) closeDrawer();
});

function cancelRename(input) {
  const form = input.form;
  if (!form || "saving" in form.dataset || !form.isConnected) return;
  form.dataset.saving = "";
  const item = form.closest(".conversation-item");
  htmx.ajax("GET", input.dataset.cancelUrl, { target: item, swap: "outerHTML" });
}
