// Text to the clipboard, also where a page is not served over TLS.

import { html } from "./dom.js";

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = html("textarea", { class: "unseen", readonly: true }, text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** A button that copies what `text()` returns and says whether it did. */
export function copyButton(label, text) {
  const button = html("button", { class: "plain copy", onclick: async () => {
    const done = await copy(text());
    button.textContent = done ? "Copied" : "Select and copy by hand";
    setTimeout(() => { button.textContent = label; }, 1500);
  } }, label);
  return button;
}
