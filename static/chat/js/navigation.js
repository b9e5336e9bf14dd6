// Which conversation is shown: the tab's title, and the mark in the sidebar.

import { announce, byId, currentConversation, onChange } from "./page.js";

let shown = currentConversation();

onChange(() => {
  const conversation = byId("conversation");
  if (!conversation) return (shown = null);
  const id = conversation.dataset.conversation;
  const title = id ? byId(`title-${id}`)?.textContent : "";
  document.title = title || conversation.dataset.title;
  markCurrent(id);
  if (id !== shown) {
    shown = id;
    announce(document.title);
    // What had the focus went with the old conversation. On a desk the composer takes it next.
    if (document.activeElement === document.body) byId("main").focus({ preventScroll: true });
    document.dispatchEvent(new CustomEvent("chat:opened", { detail: { conversation: id } }));
  }
});

function markCurrent(id) {
  const current = id ? document.querySelector(`#c-${CSS.escape(id)} .conversation-item__link`) : null;
  if (current?.hasAttribute("aria-current")) return;
  for (const link of document.querySelectorAll(".conversation-item__link[aria-current]")) {
    link.removeAttribute("aria-current");
  }
  current?.setAttribute("aria-current", "page");
}
