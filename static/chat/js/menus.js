// <details class="menu">: one open at a time, closed by a click elsewhere, Escape or a choice. The list is
// lifted into the top layer, where no scrolling parent cuts it off.

import { on } from "./page.js";

const openMenus = () => document.querySelectorAll(".menu[open]");

document.addEventListener("toggle", (event) => event.target.matches?.(".menu") && toggled(event.target), true);

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    const chosen = event.target.closest(".menu__item");
    if (!menu.contains(event.target) || (chosen && menu.contains(chosen))) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    event.preventDefault();
    const hadFocus = menu.contains(document.activeElement);
    menu.open = false;
    if (hadFocus) menu.querySelector("summary").focus();
  }
});

// The list stands still, so it goes when its button moves.
document.addEventListener(
  "scroll",
  (event) => {
    for (const menu of openMenus()) if (event.target.contains(menu)) menu.open = false;
  },
  { capture: true, passive: true },
);
window.addEventListener("resize", () => openMenus().forEach((menu) => (menu.open = false)));

on("keydown", ".menu", (event, menu) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !menu.open) return;
  event.preventDefault();
  const items = [...menu.querySelectorAll("summary, .menu__list :is(a, button)")];
  const at = items.indexOf(document.activeElement);
  items[(at + step + items.length) % items.length].focus();
});

function toggled(menu) {
  const list = menu.querySelector(".menu__list");
  if (!menu.open) return;
  for (const other of openMenus()) if (other !== menu) other.open = false;
  if (!list.showPopover) return;
  list.popover = "manual";
  list.showPopover();
  place(list, menu.querySelector("summary").getBoundingClientRect());
}

function place(list, button) {
  const { width, height } = list.getBoundingClientRect();
  const gap = 4;
  const below = button.bottom + gap + height < innerHeight - 8;
  const rtl = getComputedStyle(list).direction === "rtl";
  const start = rtl ? innerWidth - button.right : button.left;
  const fits = Math.min(start, innerWidth - width - 8);
  list.style.setProperty("--menu-start", `${Math.max(8, fits)}px`);
  list.style.setProperty("--menu-top", below ? `${button.bottom + gap}px` : "auto");
  list.style.setProperty("--menu-bottom", below ? "auto" : `${innerHeight - button.top + gap}px`);
}
