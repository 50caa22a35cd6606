"""How fast the GradGuard tab is with large models and long runs.

    python -m benchmarks.tensorboard_tab 200x10000 1000x100000

Writes a made-up run of LAYERSxSTEPS, starts TensorBoard on it, opens the tab
in chromium (chromedriver is needed), and prints the time until the first
picture stands, the frames per second while the pointer moves over the map, and
the time that a zoom takes.
"""

import pathlib
import sys
import tempfile
import time

import numpy as np

from keras_gradguard import Trace
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from tests.tensorboard_plugin.browser import browsing
from tests.tensorboard_plugin.conftest import eventually
from tests.tensorboard_plugin.conftest import fetch
from tests.tensorboard_plugin.conftest import serving

_BLOCK = 500
_PAINTED = """
if (location.pathname.includes('plugin_entry')) {
  const look = () => {
    if (document.querySelector('.heatmap canvas')?.width > 300 &&
        document.querySelector('.chart .line')) {
      requestAnimationFrame(() => requestAnimationFrame(
        () => { window.painted = performance.now(); }));
    } else {
      requestAnimationFrame(look);
    }
  };
  look();
}
"""
_FRAMES = """
const done = arguments[arguments.length - 1];
const canvas = document.querySelector('.heatmap canvas');
const box = canvas.getBoundingClientRect();
let frames = 0;
const begin = performance.now();
const move = () => {
  frames++;
  const share = (frames % 97) / 97;
  canvas.dispatchEvent(new PointerEvent('pointermove', { bubbles: true,
    clientX: box.left + box.width * (0.3 + 0.6 * share),
    clientY: box.top + box.height * (0.1 + 0.7 * ((frames % 61) / 61)) }));
  if (performance.now() - begin < 3000) requestAnimationFrame(move);
  else done(1000 * frames / (performance.now() - begin));
};
requestAnimationFrame(move);
"""
_ZOOM = """
const done = arguments[arguments.length - 1];
const canvas = document.querySelector('.heatmap canvas');
const [, last] = document.querySelectorAll('input.step');
const before = last.value;
const begin = performance.now();
canvas.focus();
canvas.dispatchEvent(new KeyboardEvent('keydown', { key: '+', bubbles: true }));
const first = document.querySelector('.panel').textContent;
const draw = canvas.getContext('2d').drawImage;
const look = () => {
  const tick = document.querySelector('.steps button');
  if (!tick.disabled && window.gradguardDrawn) done(performance.now() - begin);
  else requestAnimationFrame(look);
};
window.gradguardDrawn = false;
new MutationObserver(() => { window.gradguardDrawn = true; }).observe(
  document.querySelector('.chart'), { childList: true });
look();
"""


def write(folder, layers, steps):
    """Write a run in blocks, as a monitor does while it trains."""
    names = [
        f"net/stage_{i // 100}/block_{i // 4:03}/dense_{i % 4}"
        for i in range(layers)
    ]
    trace = Trace(names, [f"{name}/kernel" for name in names], range(layers))
    writer = EventWriter(folder)
    random = np.random.default_rng(0)
    depth = np.linspace(-3, 0, layers)
    noise = 10 ** random.normal(0, 0.2, (_BLOCK, layers))
    for start in range(0, steps, _BLOCK):
        grads = np.roll(noise, start // 7, axis=1) * 10**depth
        at = np.arange(start, start + _BLOCK)
        loss = 2 * np.exp(-at / steps) + 0.1 * random.random(_BLOCK)
        trace.append(at, grads.astype(np.float32), extra={"loss": loss})
        writer._tab._due = 0.0  # as if each block took long
        writer.on_records(trace, start)
    writer.close(trace, [])
    return writer.path.stat().st_size


def measure(layers, steps):
    with tempfile.TemporaryDirectory() as logdir:
        size = write(pathlib.Path(logdir) / "run", layers, steps)
        with serving(logdir) as url:
            ask = f"{url}data/plugin/keras_gradguard/runs"
            begin = time.perf_counter()
            eventually(lambda: '"run": "run"' in fetch(ask), 120)
            loaded = time.perf_counter() - begin
            with browsing(1280, 1000) as page:
                page.chrome.execute_cdp_cmd(
                    "Page.addScriptToEvaluateOnNewDocument",
                    {"source": _PAINTED},
                )
                page.open(url)
                first = page.wait(lambda: page.script("return window.painted"))
                time.sleep(2)
                frames = page.chrome.execute_async_script(_FRAMES)
                zoom = page.chrome.execute_async_script(_ZOOM)
    sys.stdout.write(
        f"{layers} layers x {steps:,} steps: {size / 1e6:.0f} MB, read by "
        f"TensorBoard in {loaded:.1f} s; first picture {first / 1e3:.2f} s "
        f"after the tab opened; {frames:.0f} frames/s; zoom {zoom:.0f} ms\n"
    )


if __name__ == "__main__":
    for text in sys.argv[1:]:
        measure(*map(int, text.split("x")))
