// Light or dark, as TensorBoard is, or else as the system is.

function hostBody() {
  try {
    return window.parent === window ? null : window.parent.document.body;
  } catch {
    return null; // embedded by somebody else
  }
}

function isDark(body, system) {
  // TensorBoard marks its body when it is dark; on its own the page follows
  // the system.
  return body ? body.classList.contains("dark-mode") : system.matches;
}

/** Follow the theme; `changed()` is called when it turns. */
export function followTheme(changed) {
  const body = hostBody();
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const theme = isDark(body, system) ? "dark" : "light";
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    changed();
  };
  system.addEventListener("change", apply);
  if (body) {
    new MutationObserver(apply)
      .observe(body, { attributes: true, attributeFilter: ["class"] });
  }
  apply();
}
