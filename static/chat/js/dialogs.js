// <dialog>: opened by data-open-dialog, or fetched by data-dialog-url; closed by data-close-dialog, Escape or a
// click beside it.

import { byId, on, showToast } from "./page.js";

let fetching = false;

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

on("click", "[data-dialog-url]", (event, element) => {
  if (!isPlainClick(event)) return;
  event.preventDefault();
  openFrom(element.dataset.dialogUrl);
});

// What such a dialog asked for is done.
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const isDone = detail.successful && detail.xhr.status !== 422; // for htmx a sentence that asks again is a success, too
  if (isDone && detail.elt.matches("dialog[data-fetched] form")) detail.elt.closest("dialog").close();
});

/** Fetch a dialog and show it; it leaves the page when it is closed. Null when it does not come. */
export async function openFrom(url) {
  if (fetching) return null;
  fetching = true;
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true" } });
    const signin = answer.headers.get("HX-Redirect");
    if (signin) location.assign(signin);
    else if (answer.ok) return shown(await answer.text());
    else if (answer.status === 422) showToast(await answer.text());
    else showToast("This is not there any more. Reload the page.");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    showToast("The server cannot be reached. Try again in a moment.");
  } finally {
    fetching = false;
  }
  return null;
}

/** Not one that asks for a new tab or a download. */
export const isPlainClick = (event) =>
  event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;

function shown(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  const dialog = template.content.firstElementChild;
  dialog.dataset.fetched = "";
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  htmx.process(dialog);
  dialog.showModal();
  return dialog;
}
