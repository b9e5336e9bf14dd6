// The dialog that asks for a summary of the PDFs in the composer. Its fields are the composer's, so it stays open until
// the question is stored, and says what is in the way.

import { openFrom } from "./dialogs.js";
import { byId, messageFiles, on, showProblem } from "./page.js";

const dialogOf = () => byId("summary");

on("click", "[data-summary-url]", async (event, button) => {
  showProblem("");
  const dialog = await openFrom(`${button.dataset.summaryUrl}?${messageFiles()}`);
  if (!dialog) return;
  // What is wrong is said in the composer, which nobody sees now.
  const problems = new MutationObserver(() => tell(byId("problem").firstChild?.textContent ?? ""));
  problems.observe(byId("problem"), { childList: true, characterData: true, subtree: true });
  dialog.addEventListener("close", () => {
    problems.disconnect();
    showProblem(""); // what it offers to send again would be another question
  });
});

// The composer's own button knows what is in the way; a message that cannot go would go nowhere without a word.
on("click", "[data-summarize]", (event) => {
  const send = document.querySelector(".composer__send");
  if (!send?.disabled) return;
  event.preventDefault();
  tell(`${send.title}.`);
});

document.addEventListener("asked", () => dialogOf()?.close());

function tell(sentence) {
  const problem = dialogOf()?.querySelector("[data-summary-problem]");
  if (problem) problem.textContent = sentence;
}
