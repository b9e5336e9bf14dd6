// Files, by button, drop or paste. A file goes up in slices, so that a lost connection costs one slice and
// progress is told in real bytes; the server checks it when it has all of it. While the server cannot be reached
// an upload pauses, and goes on by itself where it stopped.

import { announce, byId, csrfToken, on, showProblem } from "./page.js";

const AT_ONCE = 3; // a browser has six connections to a server, and the chat needs some
const PAUSES = [1_000, 2_000, 4_000, 8_000, 15_000];
const SILENCE = 30_000; // of a connection that takes no more bytes
const CHECK = 150_000; // longer than any check lasts
const TROUBLES = 5; // answers in a row that say that the server is broken
const AWAY = [0, 408, 429, 502, 503, 504];

const WAITING = "Waiting…";
const CHECKING = "Checking…";
const PAUSED = "Paused; goes on by itself";
const SIGNED_OUT = "You are signed out. Reload the page; what you wrote is kept.";

const uploads = new WeakMap();
const waiting = [];
let running = 0;

class Refused extends Error {}

/** One file and its chip, which is the page's own until the server has given it one. */
class Upload {
  constructor(file, chips) {
    this.file = file;
    this.offset = 0;
    this.troubles = 0;
    this.adopt(byId("placeholder-chip").content.firstElementChild.cloneNode(true));
    this.chip.querySelector(".chip__name").textContent = file.name;
    this.chip.querySelector("[data-remove-chip]").setAttribute("aria-label", `Remove ${file.name}`);
    chips.append(this.chip);
    this.show("uploading", WAITING);
  }

  async run() {
    try {
      while (this.isWanted && !(await this.announced()));
      while (this.isWanted && !(await this.sent()));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.isWanted) this.refuse(error.message);
    }
  }

  get isWanted() {
    return !this.removed && this.chip.isConnected;
  }

  /** Tell the server the name and the size. True when it has given the file a chip. */
  async announced() {
    const form = new FormData();
    form.set("name", this.file.name);
    form.set("size", String(this.file.size));
    const url = byId("composer").dataset.filesUrl;
    this.show("uploading", percent(0));
    const answer = await this.ask("POST", url, form);
    if (answer.status === 200) {
      const chip = parse(answer.responseText);
      if (!chip?.matches("[data-upload-url]")) throw new Refused(SIGNED_OUT); // a sign-in page is an answer, too
      this.troubles = 0;
      this.offset = Number(chip.dataset.received);
      this.chip.replaceWith(chip);
      htmx.process(chip);
      this.adopt(chip);
      return true;
    }
    return this.later(answer);
  }

  /** Send the next slice. True when it was the last and the server has taken the file. */
  async sent() {
    const url = this.chip.dataset.uploadUrl;
    const end = Math.min(this.offset + sliceBytes(), this.file.size);
    if (this.offset < this.file.size) this.progress(this.offset);
    const answer = await this.ask("PUT", url, this.file.slice(this.offset, end), {
      "Content-Type": "application/octet-stream",
      "Upload-Offset": String(this.offset),
    });
    const offset = answer.getResponseHeader("Upload-Offset");
    if (offset !== null) this.offset = Number(offset);
    switch (answer.status) {
      case 200:
        if (!answer.responseURL.endsWith(url)) throw new Refused(SIGNED_OUT);
        this.becomeReady(answer.responseText);
        return true;
      case 204:
      case 409:
        this.troubles = 0;
        return false;
      default:
        return this.later(answer);
    }
  }

  ask(method, url, body, headers = {}) {
    const request = (this.request = new XMLHttpRequest());
    request.open(method, url);
    for (const [name, value] of Object.entries({ "X-CSRFToken": csrfToken(), ...headers })) {
      request.setRequestHeader(name, value);
    }
    const patience = (length) => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => request.abort(), length);
    };
    const from = this.offset;
    patience(SILENCE);
    if (method === "PUT") {
      request.upload.addEventListener("progress", (event) => {
        patience(SILENCE);
        this.progress(from + event.loaded);
      });
      request.upload.addEventListener("load", () => {
        patience(CHECK);
        this.progress(from + body.size);
      });
    }
    return new Promise((resolve) => {
      request.addEventListener("loadend", () => {
        clearTimeout(this.timer);
        resolve(request);
      });
      request.send(body);
    });
  }

  /** What to do after an answer that took nothing: wait and try again, which is false, or give up. */
  async later(answer) {
    if (answer.status === 422) throw new Refused(answer.responseText);
    if (answer.status === 401) throw new Refused(SIGNED_OUT);
    if (answer.status === 404) throw new Refused(`“${this.file.name}” was removed. Attach it again.`);
    const isTrouble = !AWAY.includes(answer.status);
    if (isTrouble && (answer.status < 500 || this.troubles >= TROUBLES)) {
      throw new Refused(`“${this.file.name}” was not taken. Reload the page and try again.`);
    }
    if (!this.isWanted) return false;
    const isChecked = answer.status === 503 && this.offset === this.file.size && answer.getResponseHeader("Upload-Offset");
    if (isChecked) this.show("checking", CHECKING);
    else this.show("paused", PAUSED);
    const pause = isChecked ? PAUSES[0] : PAUSES[Math.min(this.troubles, PAUSES.length - 1)];
    this.troubles += 1;
    await until(pause, this.ended.signal);
    return false;
  }

  progress(bytes) {
    const done = Math.min(bytes, this.file.size);
    this.chip.querySelector("progress").value = done;
    if (done === this.file.size) this.show("checking", CHECKING);
    else this.show("uploading", percent((100 * done) / this.file.size));
  }

  /** Put the chip into one of its states: uploading, paused, checking, refused. The server alone makes it ready. */
  show(state, words) {
    this.chip.className = `chip chip--${state}`;
    this.chip.querySelector("[data-chip-detail]").textContent = words;
  }

  adopt(chip) {
    if (this.chip) uploads.delete(this.chip);
    this.chip = chip;
    this.ended ??= new AbortController();
    uploads.set(chip, this);
  }

  becomeReady(html) {
    uploads.delete(this.chip);
    const ready = parse(html);
    this.chip.replaceWith(ready);
    htmx.process(ready);
    announce(`${this.file.name} is ready.`);
  }

  refuse(sentence) {
    this.show("refused", sentence);
    announce(sentence);
  }

  /** Take it out, whether or not the server can be reached: what nobody ends is swept away there. */
  remove() {
    this.removed = true;
    this.ended.abort();
    this.request?.abort();
    uploads.delete(this.chip);
    this.chip.remove();
    const url = this.chip.querySelector("[hx-delete]")?.getAttribute("hx-delete");
    if (url) fetch(url, { method: "DELETE", headers: { "X-CSRFToken": csrfToken() }, keepalive: true }).catch(() => {});
    byId("question")?.focus({ preventScroll: true });
  }
}

on("click", "[data-attach]", () => byId("file-input").click());

on("change", "#file-input", (event, input) => {
  attach(input.files);
  input.value = "";
});

// Capturing, and before htmx: what is not ready goes at once, without an answer of the server.
on(
  "click",
  "[data-remove-chip]",
  (event, button) => {
    const upload = uploads.get(button.closest(".chip"));
    if (!upload) return;
    event.stopPropagation();
    upload.remove();
  },
  { capture: true },
);

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  // Some applications put a picture of the text beside the text: then the text is meant.
  if (!files.length || event.clipboardData.types.includes("text/plain")) return;
  event.preventDefault();
  attach(files.map(named));
});

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files") && byId("composer");

document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "copy";
  byId("main").dataset.dragging = "";
});

document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete byId("main")?.dataset.dragging;
});

document.addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  delete byId("main").dataset.dragging;
  attach(event.dataTransfer.files);
});

function attach(files) {
  showProblem("");
  const chips = byId("chips");
  for (const file of files) {
    const sentence = refusalOf(file, chips);
    const upload = new Upload(file, chips);
    if (sentence) upload.refuse(sentence);
    else waiting.push(upload);
  }
  next();
  byId("question")?.focus({ preventScroll: true });
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting
      .shift()
      .run()
      .finally(() => {
        running -= 1;
        next();
      });
  }
}

function refusalOf(file, chips) {
  const { maxBytes, maxFiles } = byId("composer").dataset;
  if (chips.querySelectorAll(".chip:not(.chip--refused)").length >= Number(maxFiles)) {
    return `“${file.name}” is one too many: a message takes ${maxFiles} files. Send these first.`;
  }
  if (file.size === 0) return `“${file.name}” is empty. Check the file and attach it again.`;
  if (file.size > Number(maxBytes)) {
    return `“${file.name}” is too large: ${megabytes(file.size)}. Files may have up to ${megabytes(Number(maxBytes))}.`;
  }
  return "";
}

/** Resolve after so many milliseconds, or as soon as there is a reason to try. */
function until(length, signal) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const end = () => {
      clearTimeout(timer);
      ended.abort();
      resolve();
    };
    const timer = setTimeout(end, length);
    for (const reason of ["connection:open", "connection:try"]) document.addEventListener(reason, end, { signal: ended.signal });
    window.addEventListener("online", end, { signal: ended.signal });
    signal.addEventListener("abort", end, { signal: ended.signal });
  });
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

/** A pasted picture is called image.png by every browser: tell them apart by the time. */
function named(file) {
  if (file.name !== "image.png") return file;
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
  return new File([file], `Pasted ${time}.png`, { type: file.type });
}

const sliceBytes = () => Number(byId("composer")?.dataset.sliceBytes) || 1024 * 1024;

const percent = (done) => `Uploading ${Math.floor(done)} %`;

const megabytes = (bytes) => `${Math.ceil((bytes / 1024 / 1024) * 10) / 10} MB`;
