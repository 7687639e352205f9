/* What was chosen last in, the page's colours out. A plain script in the head, so that nothing flashes. */
"use strict";

(() => {
  const NAMES = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    theme = localStorage.getItem("convmodel.theme") ?? "auto";
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  document.documentElement.dataset.theme = NAMES.includes(theme) ? theme : "auto";
})();
