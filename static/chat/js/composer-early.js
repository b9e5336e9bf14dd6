// Runs in <head>: until composer.js is there, Enter would only make a new line. It is noted, and composer.js sends.
(function () {
  document.addEventListener("keydown", (event) => {
    if ("sends" in document.documentElement.dataset || !event.target.matches("[data-autosize]")) return;
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    event.target.form.dataset.wanted = "";
  });
})();
