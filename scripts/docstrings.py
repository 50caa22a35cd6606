"""Makes the examples of our docstrings what mkdocstrings takes for examples.

Keras writes `Example:` with its `>>>` lines unindented. Markdown would draw
each `>>>` as a quotation in a quotation in a quotation. References become a
list of their own, behind what is said.
"""

import re

import griffe

HEADING = re.compile(r"^(Example|References|Notes):$")
# What griffe calls the same.
SECTIONS = {"Example": "Examples:", "Notes": "Note:"}


def rewritten(text):
    """Return a docstring with its examples and references as sections.

    Args:
        text: Str. A docstring without its indentation.

    Returns:
        Str.
    """
    lines, inside = [], ""
    for line in text.splitlines():
        heading = HEADING.match(line)
        if heading:
            inside = heading[1]
            if inside == "References":
                lines += ["**References**", ""]
            else:
                lines.append(SECTIONS[inside])
            continue
        if inside == "Example" and line.strip() and line[:1] != " ":
            line = f"    {line}"
        elif inside == "References":
            line = line.removeprefix("    ")
        if re.match(r"[A-Z]\w+( \w+)?:$", line):
            inside = ""
        lines.append(line)
    return "\n".join(lines)


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj, **kwargs):
        """Do it for a module, a class, a function, an attribute."""
        if not obj.is_alias and obj.docstring:
            obj.docstring.value = rewritten(obj.docstring.value)
