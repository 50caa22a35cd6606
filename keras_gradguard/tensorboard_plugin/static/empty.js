// What to do when there is nothing to show.

import { html } from "./dom.js";
import { many } from "./format.js";

const CODE = `from keras_gradguard import GradientMonitor

model.fit(x, y, callbacks=[GradientMonitor(log_dir="runs/first")])`;

/** A page for runs that have begun and for which nothing is recorded. */
function waitingPage(begun) {
  const [verb, their] = begun.length === 1 ? ["has", "its"] : ["have", "their"];
  return html("div", { class: "empty" },
    html("h2", {}, `${many(begun.length, "run")} ${verb} started and ${verb} ` +
      "no records yet"),
    html("p", {}, `Keras compiles before ${their} first step, which may take ` +
      "minutes with a large model. The picture comes with the first records."),
    html("ul", {}, ...begun.slice(0, 20).map((run) => html("li", {}, run))));
}

/** A page for `all` runs of which none was watched. */
export function emptyPage(all, begun) {
  if (begun.length) return waitingPage(begun);
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
