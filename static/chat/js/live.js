// The tab's socket. htmx opens it (ws-connect) and puts arriving fragments into the page; this module
// says what the tab looks at, acknowledges each frame, and brings a lost connection back. What the person
// is told of it is in connection.js.

import { byId, currentConversation, onChange } from "./page.js";

const SIGNED_OUT = 4401;
const NEVER = 2 ** 31 - 1;
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 15_000;
const STEADY_AFTER = 5_000;
const OPENS_WITHIN = 10_000;
const SILENT_FOR = 8_000;
const ANSWERS_WITHIN = 5_000;
const CATCH_UP_AFTER = 1_500;
const SWAP = /<\w[^>]*\shx-swap-oob="([^"]*)"[^>]*>/g;
const TARGET = /#([\w-]+)/;
const ID = /\sid="([\w-]+)/;
const PART_OF_A_CONVERSATION = /^([rt]\d|turns-)/;

const live = byId("live");

let socket = null;
let wrapper = null;
let attempts = 0;
let reconnectTimer = 0;
let steadyTimer = 0;
let openingTimer = 0;
let catchUpTimer = 0;
let pulseTimer = 0;
let heardAt = 0;
let askedAt = 0;
let received = 0;
let acknowledged = 0;
let lookedAt = null;
let wasLost = false;
let signingOut = false;
const watched = new Set();

if (live) {
  // The extension retries after some close codes only, and its timers would cut a connection that was
  // made anew in the meantime. So all reconnecting is done here.
  htmx.config.wsReconnectDelay = () => NEVER;
  htmx.createWebSocket = open;
  live.addEventListener("htmx:wsOpen", opened);
  live.addEventListener("htmx:wsClose", closed);
  live.addEventListener("htmx:wsBeforeMessage", (event) => isForAnother(event.detail.message) && event.preventDefault());
  live.addEventListener("htmx:wsAfterMessage", acknowledge);
  document.addEventListener("htmx:oobBeforeSwap", keepFoldsOpen);
  document.addEventListener("visibilitychange", lookedAway);
  document.addEventListener("connection:try", () => reconnectNow());
  window.addEventListener("online", lookAgain);
  window.addEventListener("pageshow", (event) => event.persisted && lookAgain());
  document.addEventListener("submit", (event) => (signingOut ||= event.target.matches("[data-sign-out]")));
  // Should the socket have been faster than the answer to the form, the turn is here already.
  document.addEventListener("asked", (event) => byId(`t${event.detail.turn}`)?.remove());
  onChange(() => tellWhatIsShown());
}

function open(url) {
  const made = new WebSocket(url);
  socket = made;
  received = acknowledged = askedAt = 0;
  made.addEventListener("message", () => {
    received += 1;
    heardAt = performance.now();
    askedAt = 0;
    // A server that accepts and closes at once is no server that is back; one that speaks is.
    attempts = 0;
    // Should a fragment fail to go in, the server must not wait for ever.
    setTimeout(acknowledge);
  });
  clearTimeout(openingTimer);
  openingTimer = setTimeout(() => made.readyState === WebSocket.CONNECTING && made.close(), OPENS_WITHIN);
  return made;
}

function opened(event) {
  wrapper = event.detail.socketWrapper;
  heardAt = performance.now();
  clearTimeout(openingTimer);
  clearTimeout(steadyTimer);
  steadyTimer = setTimeout(() => (attempts = 0), STEADY_AFTER);
  lookedAt = null;
  if (document.hidden) send({ type: "hidden", is: true });
  tellWhatIsShown(lastTurn());
  if (wasLost) {
    wasLost = false;
    clearTimeout(catchUpTimer);
    catchUpTimer = setTimeout(catchUp, CATCH_UP_AFTER);
  }
  tell("connection:open");
}

/** The turn that this page ends with; 0 while its own next one is on the way. */
function lastTurn() {
  if (document.querySelector("#main .htmx-request")) return 0;
  return Number(document.querySelector("[data-turns] > .turn:last-of-type")?.id.slice(1) ?? 0);
}

/** What changed elsewhere in the meantime and is no new turn: titles, the list, how the last turn ended. */
function catchUp() {
  if (!isOpen()) return;
  const last = lastTurn();
  if (last && !byId(`t${last}-foot`)?.dataset.live) send({ type: "watch", turn: last });
  // A name that is being written stays; its line comes with the answer to it.
  if (document.querySelector("[data-rename]")) return;
  const source = byId("errand");
  htmx.ajax("GET", live.dataset.listUrl, { source, target: "#conversations" }).then(takeTitle, () => {});
}

function takeTitle() {
  const id = currentConversation();
  const [title, listed] = [byId(`title-${id}`), byId(`c-${id}-title`)];
  if (title && listed && title.textContent !== listed.textContent) title.textContent = listed.textContent;
}

/** A frame on its way while the person went to another conversation: all its places have left the page. */
function isForAnother(frame) {
  const targets = Array.from(frame.matchAll(SWAP), ([tag, how]) => (TARGET.exec(how) ?? ID.exec(tag))?.[1]);
  return targets.length > 0 && targets.every((id) => PART_OF_A_CONVERSATION.test(id) && !byId(id));
}

/** What the person has unfolded stays so when it comes anew. */
function keepFoldsOpen({ detail: { target, fragment } }) {
  const folds = [...target.querySelectorAll("details[open][id]")];
  if (target.matches("details[open][id]")) folds.push(target);
  for (const fold of folds) fragment.querySelector(`#${CSS.escape(fold.id)}`)?.setAttribute("open", "");
}

function acknowledge() {
  if (acknowledged === received || !isOpen()) return;
  acknowledged = received;
  send({ type: "ack", n: received });
}

/** `last` is given on a new connection: what was asked in another tab before it is missing here. */
function tellWhatIsShown(last = 0) {
  if (!isOpen()) return;
  const conversation = currentConversation();
  if (conversation !== lookedAt) {
    lookedAt = conversation;
    watched.clear();
    send(last ? { type: "look", conversation, last } : { type: "look", conversation });
  }
  const shown = new Set(Array.from(document.querySelectorAll("[data-live]"), (element) => element.dataset.live));
  for (const turn of watched) if (!shown.has(turn)) watched.delete(turn);
  for (const turn of shown) {
    if (watched.has(turn)) continue;
    watched.add(turn);
    send({ type: "watch", turn: Number(turn) });
  }
  if (!pulseTimer && shown.size) feelPulse();
}

// A connection may be dead without a word: a proxy that forwards nothing, a network that was left. While an
// answer is on its way, silence is looked into: any frame is a sign of life, and a ping asks for one.

function feelPulse() {
  clearTimeout(pulseTimer);
  pulseTimer = 0;
  if (!isOpen() || document.hidden || !(askedAt || document.querySelector("[data-live]"))) return;
  const due = askedAt ? askedAt + ANSWERS_WITHIN : heardAt + SILENT_FOR;
  pulseTimer = setTimeout(checkPulse, Math.max(0, due - performance.now()));
}

function checkPulse() {
  pulseTimer = 0;
  if (!isOpen() || document.hidden) return;
  const now = performance.now();
  if (askedAt && now >= askedAt + ANSWERS_WITHIN) {
    lost();
    wrapper.reconnect();
    return;
  }
  if (!askedAt && now >= heardAt + SILENT_FOR) ping();
  else feelPulse();
}

function ping() {
  if (askedAt) return;
  askedAt = performance.now();
  send({ type: "ping" });
  feelPulse();
}

function closed(event) {
  wrapper = event.detail.socketWrapper;
  if (event.detail.event.target !== socket) return;
  clearTimeout(openingTimer);
  if (event.detail.event.code === SIGNED_OUT) {
    // Whoever signs out here is on the way already, and need not come back to this page.
    if (!signingOut) location.assign(`${live.dataset.signinUrl}?next=${encodeURIComponent(location.pathname)}`);
    return;
  }
  lost();
  const ceiling = Math.min(FIRST_PAUSE * 2 ** attempts, LONGEST_PAUSE);
  attempts += 1;
  clearTimeout(reconnectTimer);
  // A page that nobody looks at waits until somebody does.
  if (!document.hidden) reconnectTimer = setTimeout(reconnectNow, 50 + Math.random() * ceiling);
}

function lost() {
  wasLost = true;
  clearTimeout(steadyTimer);
  clearTimeout(catchUpTimer);
  clearTimeout(pulseTimer);
  pulseTimer = 0;
  tell("connection:lost");
}

function reconnectNow() {
  if (!wrapper || socket.readyState !== WebSocket.CLOSED) return;
  clearTimeout(reconnectTimer);
  wrapper.reconnect();
}

function lookedAway() {
  if (isOpen()) send({ type: "hidden", is: document.hidden });
  if (!document.hidden) lookAgain();
}

/** Back at this page or in the network: what seems to be connected may have been cut in the meantime. */
function lookAgain() {
  if (isOpen()) ping();
  else reconnectNow();
}

function isOpen() {
  return socket?.readyState === WebSocket.OPEN;
}

function send(message) {
  socket.send(JSON.stringify(message));
}

function tell(news) {
  document.dispatchEvent(new CustomEvent(news));
}
