"""The frame of the pages that open offline: head, style, body."""

from html import escape

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1b1f;--dim:#5c5f66;
--line:#d9dbe0;--box:#f5f6f8;--bad:#b3261e;--warn:#8a5200;--good:#1b6e3c}
@media(prefers-color-scheme:dark){:root{--bg:#16171b;--fg:#e8e8ec;
--dim:#a5a8b0;--line:#3a3c44;--box:#202228;--bad:#ff8a80;--warn:#ffc166;
--good:#7ddba0}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;overflow-wrap:anywhere;
padding:1rem;background:var(--bg);
color:var(--fg);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.3rem}h2{font-size:1.1rem;margin-top:2rem}
h3{font-size:1rem;margin:.8rem 0 .2rem}
.verdict{font-size:1.2rem;font-weight:600}
.good{color:var(--good)}.critical{color:var(--bad)}.warning{color:var(--warn)}
.finding{border:1px solid var(--line);border-radius:8px;padding:.2rem 1rem 1rem;
margin:1rem 0}
.effect{margin-left:1.5rem;border-style:dashed}
.dim{color:var(--dim)}
pre{background:var(--box);padding:.7rem;overflow-x:auto;border-radius:6px}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;width:100%}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child,td:first-child,th:last-child,td:last-child{text-align:left}
table.runs th,table.runs td{text-align:left}
table.runs td:nth-last-child(2){text-align:right}
table.runs td:last-child{white-space:nowrap}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--fg);font:12px system-ui,sans-serif}
svg .narrow{display:none}
.number{white-space:nowrap}
table{overflow-wrap:normal}
@media(max-width:40rem){svg text{font-size:25px}svg .wide{display:none}
svg .narrow{display:inline}pre{white-space:pre-wrap}
table.runs thead{position:absolute;width:1px;height:1px;overflow:hidden;
clip-path:inset(50%)}
table.runs tr{display:block;padding:.5rem 0;
border-bottom:1px solid var(--line)}
table.runs td,table.runs td:nth-last-child(2){display:grid;gap:.6rem;
grid-template-columns:6.5rem 1fr;border:0;padding:.1rem 0;text-align:left;
overflow-wrap:anywhere}
table.runs td::before{content:attr(data-title);color:var(--dim)}
table.runs td:empty{display:none}}
@media print{html{font-size:78%}body{font-size:1rem;padding:0}
h2{break-after:avoid;margin-top:1.2rem}th,td{padding:.15rem .6rem}
pre{white-space:pre-wrap}.finding,svg{break-inside:avoid}
svg{max-height:11cm}.wide{overflow:visible}}
a:focus,summary:focus,[tabindex]:focus{outline:2px solid currentColor}
"""


def to_page(title, body):
    """Return a page without any external resource.

    Args:
        title: Str. Stands at the top, and in the tab of a browser.
        body: Str. HTML.
    """
    title = escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def tone(report):
    """Return the class that colours the verdict of a `Report`."""
    if not report.findings:
        return "good" if report.healthy else "warning"
    return report.ranked[0].severity
