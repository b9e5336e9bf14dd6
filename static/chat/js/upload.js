// Files, by button, drop or paste. A file goes up in slices, so that a lost connection costs one slice and
// progress is told in real bytes; the server checks it when it has all of it.

import { byId, csrfToken, on, showProblem } from "./page.js";

const RETRIES = 3;
const FIRST_PAUSE = 1_000;
const SIGNED_OUT = "You are signed out. Reload the page; what you wrote is kept.";
const FAILED = "Upload failed.";

const uploads = new Map();

class Refused extends Error {}
class Failed extends Error {}

class Upload {
  constructor(file, chip) {
    this.file = file;
    this.chip = chip;
    this.offset = Number(chip.dataset.received);
    this.aborted = false;
    uploads.set(chip.dataset.attachment, this);
  }

  async run() {
    try {
      while (this.isWanted && !(await this.sendSlice()));
    } catch (error) {
      if (!this.isWanted) return;
      if (error instanceof Refused) this.refuse(error.message);
      else if (error instanceof Failed) this.offerAgain();
      else throw error;
    }
  }

  get isWanted() {
    return !this.aborted && this.chip.isConnected;
  }

  /** Send the next slice. True when it was the last and the server has taken the file. */
  async sendSlice() {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.put();
      switch (answer.status) {
        case 200:
          // A sign-in page is an answer, too.
          if (!answer.responseURL.endsWith(this.chip.dataset.uploadUrl)) throw new Refused(SIGNED_OUT);
          this.replaceChip(answer.responseText);
          return true;
        case 204:
        case 409:
          this.offset = Number(answer.getResponseHeader("Upload-Offset"));
          return false;
        case 401:
          throw new Refused(SIGNED_OUT);
        case 404:
          throw new Refused(`“${this.file.name}” was removed. Attach it again.`);
        case 422:
          throw new Refused(answer.responseText);
      }
      if (!this.isWanted) return true;
      if (attempt === RETRIES) throw new Failed();
      await new Promise((resume) => setTimeout(resume, FIRST_PAUSE * 2 ** attempt));
      if (!this.isWanted) return true;
    }
  }

  put() {
    const end = Math.min(this.offset + sliceBytes(), this.file.size);
    const request = (this.request = new XMLHttpRequest());
    request.open("PUT", this.chip.dataset.uploadUrl);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Upload-Offset", String(this.offset));
    request.setRequestHeader("X-CSRFToken", csrfToken());
    request.upload.addEventListener("progress", (event) => this.show(this.offset + event.loaded));
    request.upload.addEventListener("load", () => this.show(end));
    return new Promise((resolve) => {
      request.addEventListener("loadend", () => resolve(request));
      request.send(this.file.slice(this.offset, end));
    });
  }

  show(bytes) {
    const done = Math.min(bytes, this.file.size);
    const complete = done === this.file.size;
    this.chip.querySelector("progress").value = done;
    this.say(complete ? "Checking…" : `Uploading ${Math.floor((100 * done) / this.file.size)} %`);
  }

  say(text) {
    this.chip.querySelector("[data-chip-detail]").textContent = text;
  }

  replaceChip(html) {
    uploads.delete(this.chip.dataset.attachment);
    const ready = parse(html);
    this.chip.replaceWith(ready);
    htmx.process(ready);
  }

  refuse(sentence) {
    uploads.delete(this.chip.dataset.attachment);
    this.chip.remove();
    showProblem(sentence);
  }

  offerAgain() {
    this.chip.classList.remove("chip--uploading");
    this.chip.dataset.failed = "";
    this.say(FAILED);
    const again = document.createElement("button");
    again.type = "button";
    again.className = "chip__again";
    again.dataset.uploadAgain = "";
    again.textContent = "Try again";
    this.chip.querySelector("[data-remove-chip]").before(again);
  }

  again() {
    delete this.chip.dataset.failed;
    this.chip.classList.add("chip--uploading");
    this.chip.querySelector("[data-upload-again]").remove();
    this.show(this.offset);
    this.run();
  }

  abort() {
    this.aborted = true;
    this.request?.abort();
    uploads.delete(this.chip.dataset.attachment);
  }
}

on("click", "[data-attach]", () => byId("file-input").click());

on("change", "#file-input", (event, input) => {
  attach(input.files);
  input.value = "";
});

// Capturing, so that the upload ends before htmx asks the server to remove the file.
on(
  "click",
  "[data-remove-chip]",
  (event, button) => uploads.get(button.closest("[data-attachment]").dataset.attachment)?.abort(),
  { capture: true },
);

on("click", "[data-upload-again]", (event, button) =>
  uploads.get(button.closest("[data-attachment]").dataset.attachment)?.again(),
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

async function attach(files) {
  showProblem("");
  for (const file of [...files]) {
    const sentence = refusalOf(file);
    if (sentence) showProblem(sentence);
    else await begin(file);
  }
  byId("question")?.focus({ preventScroll: true });
}

function refusalOf(file) {
  const limit = Number(byId("composer").dataset.maxBytes);
  if (file.size === 0) return `“${file.name}” is empty.`;
  if (file.size > limit) {
    return `“${file.name}” is too large: ${megabytes(file.size)}. Files may have up to ${megabytes(limit)}.`;
  }
  return "";
}

async function begin(file) {
  const form = new FormData();
  form.set("name", file.name);
  form.set("size", String(file.size));
  const chips = byId("chips");
  let answer;
  try {
    const headers = { "X-CSRFToken": csrfToken() };
    answer = await fetch(byId("composer").dataset.filesUrl, { method: "POST", body: form, headers });
  } catch {
    showProblem(`“${file.name}” could not be sent: the server cannot be reached. Try again in a moment.`);
    return;
  }
  const body = await answer.text();
  if (answer.status === 422) showProblem(body);
  else if (!answer.ok || answer.redirected) showProblem(`“${file.name}” was not taken. Reload the page and try again.`);
  else if (chips.isConnected) {
    const chip = parse(body);
    chips.append(chip);
    htmx.process(chip);
    new Upload(file, chip).run();
  }
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

const megabytes = (bytes) => `${Math.ceil((bytes / 1024 / 1024) * 10) / 10} MB`;
