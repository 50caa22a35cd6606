// Zoom: drag over a part of the time axis, double click for all of it.

import { html } from "./dom.js";

const LEAST = 6;

export class Brush {
  /**
   * @param frame Element in which the charts lie; the shade covers its height.
   * @param time Function that returns the time scale, or null.
   * @param onZoom Called with [first, last], or null for the whole run.
   */
  constructor(frame, time, onZoom) {
    Object.assign(this, { frame, time, onZoom });
    this.shade = html("div", { class: "brush", hidden: true });
    this.start = null;
    this.dragged = false;
    frame.append(this.shade);
    frame.addEventListener("pointerdown", (event) => this.down(event));
    frame.addEventListener("pointermove", (event) => this.move(event));
    frame.addEventListener("pointerup", (event) => this.up(event));
    frame.addEventListener("pointercancel", () => this.stop());
    // A drag that ends on the map must not select a cell there.
    frame.addEventListener("click", (event) => {
      if (this.dragged) event.stopPropagation();
      this.dragged = false;
    }, true);
    frame.addEventListener("dblclick", (event) => {
      if (!this.isOnChart(event)) return;
      event.preventDefault();
      this.onZoom(null);
    });
  }

  isOnChart(event) {
    const time = this.time();
    if (!time || !event.target.closest("svg, canvas")) return false;
    const x = this.place(event);
    return x >= time.left - 4 && x <= time.right + 4;
  }

  place(event) {
    return event.clientX - this.frame.getBoundingClientRect().left;
  }

  down(event) {
    if (event.button !== 0 || !this.isOnChart(event)) return;
    // A finger scrolls the page.
    if (event.pointerType === "touch") return;
    this.start = this.place(event);
    this.dragged = false;
  }

  move(event) {
    if (this.start === null) return;
    const [left, right] = this.span(event);
    if (right - left < LEAST && this.shade.hidden) return;
    this.shade.hidden = false;
    this.shade.style.left = `${left}px`;
    this.shade.style.width = `${right - left}px`;
  }

  span(event) {
    const { left, right } = this.time();
    const clamp = (x) => Math.min(right, Math.max(left, x));
    const [a, b] = [clamp(this.start), clamp(this.place(event))];
    return a < b ? [a, b] : [b, a];
  }

  up(event) {
    if (this.start === null) return;
    const [left, right] = this.span(event);
    const shown = !this.shade.hidden;
    this.stop();
    if (!shown || right - left < LEAST) return;
    this.dragged = true;
    const time = this.time();
    this.onZoom([time.step(left), time.step(right - 0.5)]);
  }

  stop() {
    this.start = null;
    this.shade.hidden = true;
  }
}
