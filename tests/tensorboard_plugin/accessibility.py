"""Checks a page with axe-core, where that is installed."""

import importlib.util
import os
import pathlib

_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document).then((result) => done(result.violations.map((rule) => [
  rule.id, rule.impact, rule.nodes.slice(0, 3).map((node) =>
    node.target.join(' ') + ': ' + node.any.concat(node.all).slice(0, 1)
      .map((check) => check.message).join())])));
"""


def axe_core():
    """Path of `axe.min.js`, or None.

    `pip install --no-deps axe-playwright-python` brings it, as
    `npm install axe-core` does; `AXE_CORE` may name another.
    """
    named = os.environ.get("AXE_CORE")
    places = [pathlib.Path(named)] if named else []
    root = pathlib.Path(__file__).parents[2]
    places.append(root / "node_modules/axe-core/axe.min.js")
    package = importlib.util.find_spec("axe_playwright_python")
    if package is not None and package.origin:
        places.append(pathlib.Path(package.origin).with_name("axe.min.js"))
    return next((path for path in places if path.is_file()), None)


def violations(page):
    """Return what axe-core has against the page; [] also without axe-core."""
    path = axe_core()
    if path is None:
        return []
    page.script(path.read_text())
    return page.chrome.execute_async_script(_RUN)
