// Looks for new data as long as the tab can be seen.

import { isVisible } from "./dom.js";

const INTERVAL = 4000;

export class Live {
  /** `look()` is called again and again, never twice at once. */
  constructor(look) {
    this.look = look;
    this.on = true;
    this.busy = false;
    this.timer = null;
  }

  start() {
    clearInterval(this.timer);
    this.timer = setInterval(() => this.tick(), INTERVAL);
    document.addEventListener("visibilitychange", () => this.tick());
    window.addEventListener("resize", () => this.tick());
  }

  async tick() {
    if (!this.on || this.busy || !isVisible()) return;
    this.busy = true;
    try {
      await this.look();
    } finally {
      this.busy = false;
    }
  }
}
