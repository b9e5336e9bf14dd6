// The reader's place. The end is followed while an answer grows, until the reader scrolls up; earlier
// messages come in above without moving what is being read.

import { byId, on, onChange } from "./page.js";

const AT_END = 32;
const SHOW_BUTTON_FROM = 240;

class Scroller {
  constructor(element) {
    this.element = element;
    // A new conversation begins at its top, which counts where the window is low.
    this.following = Boolean(element.querySelector(".turn"));
    this.lastTop = 0;
    element.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.observer = new ResizeObserver(() => this.grown());
    this.observer.observe(element);
    this.observer.observe(element.querySelector(".turns"));
    if (this.following) this.toEnd();
  }

  get distance() {
    return this.element.scrollHeight - this.element.clientHeight - this.element.scrollTop;
  }

  scrolled() {
    const top = this.element.scrollTop;
    if (this.distance <= AT_END) this.following = true;
    else if (top < this.lastTop) this.following = false;
    this.lastTop = top;
    this.show();
  }

  grown() {
    if (this.following) this.toEnd();
    else this.show();
  }

  show() {
    byId("scroller")?.toggleAttribute("data-scrolled", this.element.scrollTop > 4);
    const button = document.querySelector("[data-to-end]");
    if (button) button.hidden = this.following || this.distance < SHOW_BUTTON_FROM;
  }

  toEnd() {
    this.following = true;
    this.element.scrollTop = this.element.scrollHeight;
    this.lastTop = this.element.scrollTop;
    this.show();
  }

  /** Remember where the first turn stands; the returned function puts it back there. */
  holdPlace() {
    const mark = this.element.querySelector(".turn");
    if (!mark) return () => {};
    const before = mark.getBoundingClientRect().top;
    this.element.dataset.correcting = "";
    return () => {
      this.element.scrollTop += mark.getBoundingClientRect().top - before;
      this.lastTop = this.element.scrollTop;
      requestAnimationFrame(() => delete this.element.dataset.correcting);
    };
  }

  leave() {
    this.observer.disconnect();
  }
}

let scroller = null;
let restorePlace = null;

onChange(() => {
  const element = byId("scroller");
  if (element === (scroller?.element ?? null)) return;
  scroller?.leave();
  scroller = element ? new Scroller(element) : null;
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.matches("[data-earlier]")) restorePlace = scroller?.holdPlace();
});

document.addEventListener("htmx:afterSwap", () => {
  restorePlace?.();
  restorePlace = null;
});

// A question was taken: it rises to the top of the view, its answer grows under it.
document.addEventListener("asked", () => {
  document.querySelector("[data-turns]")?.setAttribute("data-asked", "");
  if (scroller) scroller.following = true;
});

on("click", "[data-to-end]", () => {
  scroller?.toEnd();
  byId("question")?.focus({ preventScroll: true });
});

// The composer grows with what is typed; the button and the fade above it keep their distance.
const composerSize = new ResizeObserver(([entry]) => {
  const height = entry.borderBoxSize[0].blockSize;
  entry.target.closest(".conversation")?.style.setProperty("--composer-block-size", `${height}px`);
});
let measured = null;

onChange(() => {
  const composer = byId("composer");
  if (composer === measured) return;
  composerSize.disconnect();
  measured = composer;
  if (composer) composerSize.observe(composer);
});
