// The tab's socket. htmx opens it (ws-connect) and puts arriving fragments into the page; this module
// says what the tab looks at, acknowledges each frame, and brings a lost connection back.

import { byId, currentConversation, onChange } from "./page.js";

const SIGNED_OUT = 4401;
const NEVER = 2 ** 31 - 1;
const LONGEST_PAUSE = 30_000;
const SWAP = /<\w[^>]*\shx-swap-oob="([^"]*)"[^>]*>/g;
const TARGET = /#([\w-]+)/;
const ID = /\sid="([\w-]+)/;
const PART_OF_A_CONVERSATION = /^([rt]\d|turns-)/;
const SHOW_LOSS_AFTER = 1_000;
const STEADY_AFTER = 5_000;

const live = byId("live");
const notice = byId("connection");

let socket = null;
let wrapper = null;
let attempts = 0;
let reconnectTimer = 0;
let noticeTimer = 0;
let steadyTimer = 0;
let received = 0;
let acknowledged = 0;
let lookedAt = null;
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
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && reconnectNow());
  window.addEventListener("online", reconnectNow);
  window.addEventListener("pageshow", (event) => event.persisted && reconnectNow());
  document.addEventListener("submit", (event) => (signingOut ||= event.target.matches("[data-sign-out]")));
  // Should the socket have been faster than the answer to the form, the turn is here already.
  document.addEventListener("asked", (event) => byId(`t${event.detail.turn}`)?.remove());
  onChange(() => tellWhatIsShown());
}

function open(url) {
  socket = new WebSocket(url);
  received = acknowledged = 0;
  socket.addEventListener("message", () => {
    received += 1;
    // Should a fragment fail to go in, the server must not wait for ever.
    setTimeout(acknowledge);
  });
  return socket;
}

function opened(event) {
  wrapper = event.detail.socketWrapper;
  // A server that accepts and closes at once is no server that is back.
  clearTimeout(steadyTimer);
  steadyTimer = setTimeout(() => (attempts = 0), STEADY_AFTER);
  clearTimeout(noticeTimer);
  noticeTimer = 0;
  notice.hidden = true;
  lookedAt = null;
  tellWhatIsShown(lastTurn());
}

/** The turn that this page ends with; 0 while its own next one is on the way. */
function lastTurn() {
  if (document.querySelector("#main .htmx-request")) return 0;
  return Number(document.querySelector("[data-turns] > .turn:last-of-type")?.id.slice(1) ?? 0);
}

/** A frame on its way while the person went to another conversation: all its places have left the page. */
function isForAnother(frame) {
  const targets = Array.from(frame.matchAll(SWAP), ([tag, how]) => (TARGET.exec(how) ?? ID.exec(tag))?.[1]);
  return targets.length > 0 && targets.every((id) => PART_OF_A_CONVERSATION.test(id) && !byId(id));
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
}

function closed(event) {
  wrapper = event.detail.socketWrapper;
  if (event.detail.event.target !== socket) return;
  if (event.detail.event.code === SIGNED_OUT) {
    // Whoever signs out here is on the way already, and need not come back to this page.
    if (!signingOut) location.assign(`${live.dataset.signinUrl}?next=${encodeURIComponent(location.pathname)}`);
    return;
  }
  noticeTimer ||= setTimeout(() => (notice.hidden = false), SHOW_LOSS_AFTER);
  clearTimeout(steadyTimer);
  const ceiling = Math.min(1_000 * 2 ** attempts, LONGEST_PAUSE);
  attempts += 1;
  clearTimeout(reconnectTimer);
  reconnectTimer = setTimeout(reconnectNow, 100 + Math.random() * ceiling);
}

function reconnectNow() {
  if (!wrapper || socket.readyState !== WebSocket.CLOSED) return;
  clearTimeout(reconnectTimer);
  wrapper.reconnect();
}

function isOpen() {
  return socket?.readyState === WebSocket.OPEN;
}

function send(message) {
  socket.send(JSON.stringify(message));
}
