// A PDF page by page, or an image at its full size, in a dialog. It opens from the chips of files, from images in
// answers, and from the page numbers that an answer cites.

import { isPlainClick, openFrom } from "./dialogs.js";
import { on, onChange } from "./page.js";

const WIDTHS = [800, 1600];
const SCROLLS = ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];

on("click", "[data-preview]", (event, link) => {
  if (!isPlainClick(event)) return;
  event.preventDefault();
  show(link.dataset.preview);
});

on("click", "a:has(> img[data-lightbox])", (event, link) => {
  const file = /^\/files\/[\w-]+\//.exec(new URL(link.href).pathname);
  if (!file || !isPlainClick(event)) return;
  event.preventDefault();
  show(`${file[0]}preview/`);
});

// The server knows which PDF is meant: the turn that brought it may not be in the page.
on("click", "a.page-ref[data-page]", (event, link) => {
  event.preventDefault();
  const turn = link.closest(".turn")?.id.slice(1);
  const file = link.dataset.file ? `?${new URLSearchParams({ file: link.dataset.file })}` : "";
  if (turn) show(`/turns/${turn}/cited/${link.dataset.page}/${file}`, Number(link.dataset.page));
});

// Without a PDF a page number is text. Looked at only when turns came or went: frames arrive many times a second.
let known = "";
onChange(() => {
  const turns = document.querySelector("[data-turns]");
  const now = turns ? `${turns.id} ${turns.childElementCount}` : "";
  if (now === known) return;
  known = now;
  document.body.toggleAttribute("data-has-pdf", Boolean(turns?.querySelector("[data-preview][data-pages], [data-earlier]")));
});

async function show(url, page = 1) {
  const dialog = await openFrom(url);
  const list = dialog?.querySelector("[data-preview-pages]");
  if (list) new Pages(dialog, list).go(page);
}

/** The pages of one PDF. Those near the view have their pictures, the others keep their place. */
class Pages {
  constructor(dialog, list) {
    this.list = list;
    this.items = [...list.children];
    this.number = dialog.querySelector("[data-page-number]");
    this.at = 1;
    this.aim = 0;
    const near = { root: list, rootMargin: "100% 0px" };
    const far = { root: list, rootMargin: "800% 0px" };
    this.loading = new IntersectionObserver((seen) => seen.forEach((entry) => this.came(entry)), near);
    this.unloading = new IntersectionObserver((seen) => seen.forEach((entry) => this.went(entry)), far);
    for (const item of this.items) {
      this.loading.observe(item);
      this.unloading.observe(item);
    }
    list.addEventListener("scroll", () => this.scrolled(), { passive: true });
    for (const type of ["wheel", "touchmove", "pointerdown"]) {
      list.addEventListener(type, () => (this.aim = 0), { passive: true });
    }
    dialog.addEventListener("keydown", (event) => this.pressed(event));
    for (const button of dialog.querySelectorAll("[data-page-step]")) {
      button.addEventListener("click", () => this.go(this.at + Number(button.dataset.pageStep)));
    }
    this.number.addEventListener("change", () => this.go(Number(this.number.value) || this.at));
  }

  /** Bring a page to the top of the view, and keep it there while those around it get their true heights. */
  go(page) {
    this.aim = Math.min(Math.max(1, Math.round(page)), this.items.length);
    this.items[this.aim - 1].scrollIntoView({ block: "start" });
    this.tell(this.aim);
    this.number.value = this.aim;
  }

  came({ isIntersecting, target }) {
    const image = target.querySelector("img");
    if (isIntersecting && !image) this.load(target);
    else if (!isIntersecting && image && !image.complete) image.remove(); // and its request ends
  }

  went({ isIntersecting, target }) {
    if (!isIntersecting) target.replaceChildren();
  }

  load(item) {
    const image = new Image();
    const address = (width) => `${this.list.dataset.pageUrl.replace("/0.", `/${item.dataset.page}.`)}?width=${width}`;
    image.alt = `Page ${item.dataset.page}`;
    image.addEventListener("load", () => this.loaded(item, image));
    image.addEventListener("error", () => image.isConnected && item.replaceChildren("This page cannot be shown."));
    image.sizes = `${Math.ceil(item.clientWidth)}px`;
    image.srcset = WIDTHS.map((width) => `${address(width)} ${width}w`).join(", ");
    item.replaceChildren(image);
  }

  loaded(item, image) {
    const ratio = String(image.naturalWidth / image.naturalHeight);
    item.style.setProperty("--page-ratio", ratio);
    // Most documents have pages of one size: the first that is known stands for those to come.
    if (!this.list.style.getPropertyValue("--page-ratio")) this.list.style.setProperty("--page-ratio", ratio);
    if (this.aim) this.items[this.aim - 1].scrollIntoView({ block: "start" });
  }

  scrolled() {
    if (this.aim || this.planned) return;
    this.planned = requestAnimationFrame(() => {
      this.planned = 0;
      this.tell(this.inView());
    });
  }

  inView() {
    const { left, top, width, height } = this.list.getBoundingClientRect();
    if (this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 2) return this.items.length;
    const page = document.elementFromPoint(left + width / 2, top + height / 4)?.closest("[data-page]");
    return page ? Number(page.dataset.page) : this.at;
  }

  tell(page) {
    this.at = page;
    if (document.activeElement !== this.number) this.number.value = page;
  }

  pressed(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && event.target !== this.number && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.go(this.at + step);
    } else if (event.target !== this.number && SCROLLS.includes(event.key)) {
      this.aim = 0;
      this.list.focus({ preventScroll: true });
    }
  }
}

// An image: fitted into the window, or at its real size around the point that was clicked.

on("click", "[data-zoom]", (event, button) => {
  const stage = button.closest("[data-preview-stage]");
  const image = button.querySelector("img");
  const at = event.detail ? { x: event.offsetX / image.clientWidth, y: event.offsetY / image.clientHeight } : { x: 0.5, y: 0.5 };
  const isReal = stage.toggleAttribute("data-real");
  button.setAttribute("aria-pressed", String(isReal));
  stage.scrollLeft = at.x * image.clientWidth - stage.clientWidth / 2;
  stage.scrollTop = at.y * image.clientHeight - stage.clientHeight / 2;
});

on("click", "[data-preview-stage]", (event, stage) => {
  if (event.target === stage) stage.closest("dialog").close();
});
