// A person who follows a sign-in link need not press the button as well. Scanners and previews, which run
// no scripts, do not use the link up; nor does a page that the browser prepares before it is asked for.
const form = document.querySelector("[data-submit-at-once]");

if (document.prerendering) {
  document.addEventListener("prerenderingchange", () => form.requestSubmit(), { once: true });
} else {
  form.requestSubmit();
}
