// Runs in <head> before the first paint: the person's theme, and whether the sidebar is folded away.
(function () {
  try {
    const theme = localStorage.getItem("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    if (localStorage.getItem("sidebar") === "collapsed") document.documentElement.dataset.sidebar = "collapsed";
  } catch {
    // Storage is blocked: the system's theme, an open sidebar.
  }
})();
