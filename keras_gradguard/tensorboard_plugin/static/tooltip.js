// One box that follows the pointer or the cursor of the keyboard.

import { html } from "./dom.js";

export class Tooltip {
  constructor() {
    this.element = html("div", { class: "tooltip", role: "tooltip",
      hidden: true });
    this.spoken = html("div", { class: "spoken", "aria-live": "polite" });
  }

  /** Show lines of [name, value] beside a place in the window. */
  show(title, lines, x, y) {
    this.element.replaceChildren(
      html("strong", {}, title),
      ...lines.map(([name, text]) => html("div", {},
        html("span", { class: "dim" }, name), html("span", {}, text))));
    this.element.hidden = false;
    const box = this.element.getBoundingClientRect();
    const left = x + 16 + box.width > window.innerWidth
      ? x - 16 - box.width : x + 16;
    const top = Math.min(y + 12, window.innerHeight - box.height - 4);
    this.element.style.left = `${Math.max(4, left)}px`;
    this.element.style.top = `${Math.max(4, top)}px`;
  }

  /** Let a screen reader say something. */
  speak(text) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.spoken.textContent = text; }, 250);
  }

  hide() {
    this.element.hidden = true;
  }
}
