"""What a page of the documentation weighs with all that it loads: `python -m tests.benchmarks.site`, after `make docs`."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

SITE = Path(__file__).parents[2] / ".build" / "docs" / "html"
PAGES = ["index", "gallery", *(f"panels/{n}" for n in ("lens", "atoms", "attention", "audit", "explorer", "patching")),
         "tutorials/start", "tutorials/patching", "api/panels", "search"]  # fmt: skip
_LOADED = re.compile(r'<(?:script|img)[^>]*\bsrc="([^"]+)"|<link[^>]*rel="(?:stylesheet|icon)"[^>]*href="([^"]+)"')


def weigh(page: Path) -> tuple[int, int, int]:
    """Bytes of a page and its files; compressed; and of those the files that panels share."""
    text = page.read_text(encoding="utf-8")
    files = {(page.parent / re.sub(r"[?#].*", "", script or link)).resolve() for script, link in _LOADED.findall(text)}
    parts = [page.read_bytes(), *(file.read_bytes() for file in files if file.is_file())]
    shared = sum(file.stat().st_size for file in files if file.parent.name == "interp-widgets")
    return sum(map(len, parts)), sum(len(gzip.compress(part, 6)) for part in parts), shared


def main() -> None:
    """Print the table."""
    print("| page | KB | KB, compressed | KB of them shared by all pages |\n| --- | ---: | ---: | ---: |")
    for name in PAGES:
        whole, compressed, shared = (f"{count / 1000:.0f}" for count in weigh(SITE / f"{name}.html"))
        print(f"| {name} | {whole} | {compressed} | {shared} |")


if __name__ == "__main__":
    main()
