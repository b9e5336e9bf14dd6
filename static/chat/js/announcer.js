// What a screen reader hears while an answer streams: that the model thinks, and of what; each block when it
// is complete; then the end. The open block would be read again at every change, so it stays silent, and so
// does what is folded away.

import { announce, byId } from "./page.js";

const CLOSED_BLOCK = /^r\d+-\d+-\d+-\d+$/;
const LONGEST = 600;
const ENDINGS = { completed: "Answer finished.", incomplete: "Answer cut off.", cancelled: "Answer stopped." };

const answering = new Set();
let lastThought = "";

function added(node) {
  if (!(node instanceof Element)) return;
  if (CLOSED_BLOCK.test(node.id) && !node.closest("details:not([open])") && isAnswering(node)) {
    announce(node.textContent.trim().slice(0, LONGEST));
  }
  if (isAnswering(node)) noteThinking(node);
  for (const foot of [node, ...node.querySelectorAll(".foot")]) if (foot.matches(".foot")) noteFoot(foot);
}

const isAnswering = (node) => Boolean(node.closest(".turn")?.querySelector("[data-live]"));

/** The line above a thought is there, or says something new. */
function noteThinking(node) {
  const line = node.closest(".segment__label") ?? node.querySelector(".segment__label");
  if (line?.querySelector(".thinking")) thought(line.textContent.replace("…", "… "));
}

function thought(words) {
  if (words !== lastThought) announce(words);
  lastThought = words;
}

function noteFoot(foot) {
  const id = foot.id;
  if (foot.dataset.live) {
    if (!answering.has(id)) announce("Answering.");
    answering.add(id);
  } else if (answering.delete(id)) {
    announce(ENDINGS[foot.dataset.status]);
  }
}

const main = byId("main");
if (main) {
  for (const foot of main.querySelectorAll(".foot[data-live]")) answering.add(foot.id);
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) addedNodes.forEach(added);
  }).observe(main, { childList: true, subtree: true });
}
