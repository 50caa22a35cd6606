// What to do when there is nothing to show.

import { html } from "./dom.js";
import { many } from "./format.js";

const CODE = `from keras_gradguard import GradientMonitor

model.fit(x, y, callbacks=[GradientMonitor(log_dir="runs/first")])`;

/** A page for `all` runs of which none was watched. */
export function emptyPage(all) {
  const why = all
    ? `TensorBoard reads ${many(all, "run")} here, but none that a ` +
      "GradientMonitor has written."
    : "TensorBoard has found no run here yet.";
  return html("div", { class: "empty" },
    html("h2", {}, "No gradients to show"),
    html("p", {}, why),
    html("p", {}, "Give GradientMonitor a directory of its own for each fit:"),
    html("pre", { tabindex: 0 }, CODE),
    html("p", {}, "and start TensorBoard on the directory above it:"),
    html("pre", { tabindex: 0 }, "tensorboard --logdir runs"),
    html("p", { class: "dim" },
      "This page looks again every few seconds and shows the run as soon as " +
      "its first records are written."));
}
