"""Checks a page with axe-core, where that is installed."""

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
    """Path of `axe.min.js`, or None: `npm install axe-core` brings it."""
    named = os.environ.get("AXE_CORE")
    root = pathlib.Path(__file__).parents[2]
    local = root / "node_modules/axe-core/axe.min.js"
    path = pathlib.Path(named) if named else local
    return path if path.is_file() else None


def violations(page):
    """Return what axe-core has against the page; [] also without axe-core."""
    path = axe_core()
    if path is None:
        return []
    page.script(path.read_text())
    return page.chrome.execute_async_script(_RUN)
