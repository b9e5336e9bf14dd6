// Everything that the page does by itself. Each module binds by data-attribute through delegation, so that
// fragments that are swapped in later just work.

import "./connection.js";
import "./live.js";
import "./session.js";
import "./navigation.js";
import "./scroll.js";
import "./composer.js";
import "./upload.js";
import "./copy.js";
import "./images.js";
import "./theme.js";
import "./menus.js";
import "./sidebar.js";
import "./dialogs.js";
import "./preview.js";
import "./library.js";
import "./summary.js";
import "./toasts.js";
import "./announcer.js";
import "./keys.js";
