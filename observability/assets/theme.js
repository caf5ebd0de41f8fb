// Runs before the page is drawn, so that it is not drawn in the wrong colours first.
(() => {
  let kept = null;
  try {
    kept = localStorage.getItem("tidegate-theme");
  } catch {
    // The browser keeps nothing for this page.
  }
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
