// Requests that htmx makes: what they carry, and what to say when one fails.

import { byId, csrfToken, offerToSendAgain, showProblem, showToast } from "./page.js";

const UNREACHABLE = "The server cannot be reached. Nothing was lost: try again in a moment.";
const NOT_SENT = "The server cannot be reached at the moment. Your message is kept here.";
// What a proxy says while the server behind it is restarted.
const AWAY = [502, 503, 504];

document.addEventListener("htmx:configRequest", (event) => {
  const { headers, verb } = event.detail;
  // The tab's name stays the same while conversations come and go, so that it is not told its own news.
  headers["X-Tab"] = byId("live")?.dataset.tab ?? "";
  // Where the list of conversations comes along anew, as much of it as is here: else what is read would move away.
  headers["X-Today"] = byId("conversations-today")?.dataset.day ?? "";
  headers["X-Listed"] = document.querySelectorAll(".conversation-item").length;
  if (verb !== "get") headers["X-CSRFToken"] ??= csrfToken();
});

// "Today" in the list of conversations is the reader's today.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) document.cookie = `timezone=${zone}; path=/; max-age=31536000; samesite=lax`;

// A request that ends on the sign-in page was redirected there: its answer is no fragment.
document.addEventListener("htmx:beforeSwap", (event) => {
  const signin = byId("live")?.dataset.signinUrl;
  const answeredBy = new URL(event.detail.xhr.responseURL || location.href);
  if (!signin || answeredBy.pathname !== signin) return;
  event.detail.shouldSwap = false;
  location.assign(`${signin}?next=${encodeURIComponent(location.pathname)}`);
});

document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (AWAY.includes(status)) unreachable(event);
  else tell(event, sentenceFor(status));
});
document.addEventListener("htmx:sendError", unreachable);
document.addEventListener("htmx:timeout", unreachable);

// It may have arrived all the same: sent again, it goes under the same key, and two of one key are one turn.
function unreachable(event) {
  if (event.detail.elt?.matches("[data-composer]")) offerToSendAgain(NOT_SENT);
  else tell(event, UNREACHABLE);
}

function tell(event, sentence) {
  const { elt } = event.detail;
  if (elt?.matches("[data-composer]")) showProblem(sentence);
  // Files that are being fetched are asked for again a second later.
  else if (!elt?.closest("#errand") && !elt?.matches(".made")) showToast(sentence);
}

function sentenceFor(status) {
  if (status === 403) return "This page is too old, or you are signed out. Reload it; what you wrote is kept.";
  if (status === 404) return "This is not there any more.";
  if (status === 413) return "This is larger than the server takes.";
  if (status === 429) return "Too many requests at once. Wait a moment, then try again.";
  return "Something went wrong on the server. Try again; if it happens again, tell whoever runs this chat.";
}
