// What the files of the message take to read, and what that costs, before it is sent. The server says it; here it is asked
// anew when the files or the model change. The line is there only where some model has prices.

import { byId, messageFiles, on } from "./page.js";

export async function estimate() {
  const line = byId("estimate");
  if (!line) return;
  const files = messageFiles();
  const wanted = files && `${line.dataset.url}?${files}`;
  if ((line.dataset.told ?? "") === wanted) return;
  line.dataset.told = wanted;
  const sentence = wanted && (await said(wanted));
  if (line.dataset.told === wanted) line.textContent = sentence;
}

on("change", "#deployment", estimate);

async function said(url) {
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true" } });
    return answer.ok ? await answer.text() : "";
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return ""; // away: the page says so elsewhere
  }
}
