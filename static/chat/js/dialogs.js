// <dialog>: opened by data-open-dialog, closed by data-close-dialog, Escape or a click beside it.

import { byId, on } from "./page.js";

on("click", "[data-open-dialog]", (event, button) => byId(button.dataset.openDialog)?.showModal());
on("click", "[data-close-dialog]", (event, button) => button.closest("dialog").close());

// The backdrop belongs to the dialog: only the place tells them apart.
document.addEventListener("mousedown", (event) => {
  if (!(event.target instanceof HTMLDialogElement)) return;
  const box = event.target.getBoundingClientRect();
  const inside =
    event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
  if (!inside) event.target.close();
});
