// What several behaviours ask of the page.

export const byId = (id) => document.getElementById(id);

export const currentConversation = () => byId("conversation")?.dataset.conversation ?? "";

/** The files of the message and the model that is to read them, as a query; "" without any. */
export function messageFiles() {
  const files = [...document.querySelectorAll("#chips input[name=attachment]")].map((input) => ["attachment", input.value]);
  if (!files.length) return "";
  return String(new URLSearchParams([...files, ["deployment", byId("deployment")?.value ?? ""]]));
}

/** Call `listener` with the nearest element that matches, wherever in the page it was put. */
export function on(type, selector, listener, options) {
  document.addEventListener(
    type,
    (event) => {
      const element = event.target instanceof Element ? event.target.closest(selector) : null;
      if (element) listener(event, element);
    },
    options,
  );
}

/** Call `listener` now, and again after each time something was swapped into the page. */
export function onChange(listener) {
  let planned = false;
  const plan = () => {
    if (planned) return;
    planned = true;
    queueMicrotask(() => {
      planned = false;
      listener();
    });
  };
  for (const type of ["htmx:afterSettle", "htmx:oobAfterSwap", "htmx:wsAfterMessage", "htmx:historyRestore"]) {
    document.addEventListener(type, plan);
  }
  listener();
}

export function showProblem(sentence) {
  const problem = byId("problem");
  if (problem) problem.textContent = sentence;
}

/** Say why the message is still here, beside a button that sends it. */
export function offerToSendAgain(sentence) {
  showProblem(sentence);
  const button = document.createElement("button");
  button.type = "submit";
  button.className = "button button--quiet";
  button.textContent = "Send again";
  byId("problem")?.append(" ", button);
}

export function csrfToken() {
  return document.querySelector("input[name=csrfmiddlewaretoken]")?.value ?? "";
}

export function showToast(sentence) {
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.dataset.toast = "";
  const text = document.createElement("span");
  text.textContent = sentence;
  toast.append(text);
  byId("toasts")?.append(toast);
}

/** Say something to those who listen to the page instead of looking at it. */
export function announce(sentence) {
  const announcer = byId("announcer");
  if (!announcer || !sentence) return;
  const line = document.createElement("p");
  line.textContent = sentence;
  announcer.append(line);
  while (announcer.children.length > 6) announcer.firstElementChild.remove();
}
