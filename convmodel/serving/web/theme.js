/* Applies the stored colour theme. A blocking script in the head, so that the page is never shown in other colours. */
"use strict";

(() => {
  const NAMES = ["auto", "light", "dark"];
  let theme = "auto";
  try {
    theme = localStorage.getItem("convmodel.theme") ?? "auto";
  } catch {
    // Storage may be disabled; then the system's setting applies.
  }
  document.documentElement.dataset.theme = NAMES.includes(theme) ? theme : "auto";
})();
