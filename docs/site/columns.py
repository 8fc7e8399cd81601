"""The tables of columns in the pages of docs/, written from the schemas in `interp_widgets/frames`.

A table stands under a line `<!-- columns: LENS -->`. `python docs/site/columns.py` writes all of them again; a test says when one
is not what its schema says.
"""

from __future__ import annotations

import re
from pathlib import Path

from interp_widgets import frames

ROOT = Path(__file__).parents[2]
_TABLE = re.compile(r"(?P<mark><!-- columns: (?P<name>[A-Z_]+) -->\n)(?:\|[^\n]*\n)*")


def table(schema: frames.Schema) -> str:
    """A schema as a Markdown table."""
    rows = [f"| `{name}` | {column.dtype} | {_what(column)} |" for name, column in schema.items()]
    return "\n".join(["| column | type | what |", "| --- | --- | --- |", *rows, ""])


def _what(column: frames.Column) -> str:
    doc = column.doc.replace("||", "‖").replace("|", r"\|").replace("^2", "²").replace("<", r"\<")
    return doc + (" (may be null)" if column.nullable and "null" not in doc else "")


def written(text: str) -> str:
    """A page with its tables as the schemas say."""
    return _TABLE.sub(lambda match: match["mark"] + table(getattr(frames, match["name"])), text)


if __name__ == "__main__":
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if written(text) != text:
            page.write_text(written(text), encoding="utf-8")
