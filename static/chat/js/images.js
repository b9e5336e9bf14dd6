// An image that lies elsewhere is fetched when the person asks for it, never by itself: a hostile document
// could make the model write an address that carries the conversation away.

import { on } from "./page.js";

on("click", ".remote-image button", (event, button) => {
  const placeholder = button.closest(".remote-image");
  const frame = document.createElement("iframe");
  frame.className = "remote-image__frame";
  frame.setAttribute("sandbox", "");
  frame.referrerPolicy = "no-referrer";
  frame.title = placeholder.dataset.alt || `Image from ${hostOf(placeholder.dataset.src)}`;
  frame.src = `/remote-image/?url=${encodeURIComponent(placeholder.dataset.src)}`;
  placeholder.replaceWith(frame);
});

function hostOf(address) {
  try {
    return new URL(address).host;
  } catch {
    return "elsewhere";
  }
}
