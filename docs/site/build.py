"""`make docs`: the pages, the notebooks with their outputs and the live panels into .build/docs/source, and Sphinx over it.

python docs/site/build.py [--keep]     # --keep: take panels and notebooks that are there, however old
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import reference

from notebooks import BUILD, ROOT, executed, state

HERE = Path(__file__).parent
SOURCE, HTML = BUILD / "source", BUILD / "html"
LIVE = BUILD / "live"
PANELS = {
    "lens": "what each layer predicts at each position",
    "atoms": "which atoms of a sparse autoencoder are active, and what they leave unexplained",
    "attention": "where each head looks, and what becomes of the answer without it",
    "patching": "where an answer is carried between two prompts",
    "patchingpairs": "the same over many pairs, with intervals and tests",
    "steering": "what the model says when a direction is put into it, beside random ones",
    "circuit": "which atoms carry an answer, how they feed each other, and how much they hold",
    "audit": "how much a dictionary keeps and misses, beside dictionaries that nobody trained",
    "shift": "what a probe rests on, and how often it is right without some of it",
    "agreement": "whether two sessions predict the same",
    "examples": "where atoms fire, in any table of examples",
    "explorer": "Lens, Atoms, Attention and Patching on one text with one selection",
}
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"(^ *```.*?^ *```[ \t]*$|`[^`\n]*`)", re.M | re.S)
_PICTURE = re.compile(r"^!\[(?P<alt>[^\]]*)\]\([^)]*-light\.png\)\n", re.M)


def pages() -> dict[str, str]:
    """Where each file of the repository that is a page, a notebook or a picture stands in the site."""
    out = {"README.md": "start.md", "docs/index.md": "contents.md", "docs/site/index.md": "index.md"}
    for path in sorted((ROOT / "docs").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in (".md", ".png", ".svg") and name not in out and not name.endswith("-narrow.png"):
            out[name] = name.removeprefix("docs/")
    return out | {f"notebooks/{path.name}": f"tutorials/{path.name}" for path in _notebooks()}


def _notebooks() -> list[Path]:
    return [ROOT / "notebooks" / f"{name}.ipynb" for name in ("start", "patching", "atoms", "circuits", "shift")]


def relinked(text: str, name: str, there: dict[str, str]) -> str:
    """A page's text with its links as they are in the site; a link to a file that the site does not have becomes its text."""

    def link(match: re.Match[str]) -> str:
        file, hash_, anchor = match["target"].partition("#")
        if not file or re.match(r"[a-z][a-z0-9+.-]*:", file):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), file))
        if target not in there:
            return relinked(match["text"], name, there)
        new = posixpath.relpath(there[target], posixpath.dirname(there[name]) or ".")
        return f"{match['image']}[{relinked(match['text'], name, there)}]({new}{hash_}{anchor})"

    return "".join(part if i % 2 else _LINK.sub(link, part) for i, part in enumerate(_CODE.split(text)))


def stage() -> None:
    """Fill the folder that Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    there = pages()
    for name, staged in there.items():
        target = SOURCE / staged
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            text = (ROOT / name).read_text(encoding="utf-8")
            text = _start(text) if name == "README.md" else text
            target.write_text(_with_panel(relinked(text, name, there), Path(staged)), encoding="utf-8")
        elif name.endswith((".png", ".svg")):
            shutil.copy(ROOT / name, target)
    decisions = SOURCE / "decisions" / "README.md"
    decisions.write_text(
        decisions.read_text("utf-8") + "\n```{toctree}\n:hidden:\n:glob:\n\n*\n```\n", encoding="utf-8"
    )
    shutil.copytree(LIVE, SOURCE / "live")
    (SOURCE / "gallery.md").write_text(_gallery(), encoding="utf-8")
    for name, text in reference.pages().items():
        (SOURCE / "api").mkdir(exist_ok=True)
        (SOURCE / "api" / name).write_text(text, encoding="utf-8")


def _start(readme: str) -> str:
    """The page on installing is made of two sections of the README."""
    sections = re.findall(r"^## (?:Two commands|A first look)\n.*?(?=^## )", readme, re.M | re.S)
    return "# Installing, and a first look\n\n" + "".join(sections)


def _with_panel(text: str, page: Path) -> str:
    """A panel's page with the live panel in the place of its picture, and any page with one where it asks for it."""
    text = re.sub(r"<!-- live: (\w+) -->", r"```{interp-panel} /live/\1.html\n```", text)
    if page.parent.name != "panels":
        return text
    live = f'```{{interp-panel}} /live/{page.stem}.html\n:alt: "\\g<alt>"\n```\n'
    text, count = _PICTURE.subn(live, text, count=1)
    assert count == 1, f"{page} has no picture"
    text = re.sub(r"\s\[The same in the dark\]\([^)]*\)\.", "", text)
    return f"---\nhide-toc: true\n---\n{text}"


def _gallery() -> str:
    """One card a panel: its picture in the theme of the page, and where it leads."""
    cards = []
    for name, about in PANELS.items():
        title = (ROOT / "docs" / "panels" / f"{name}.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")
        pictures = " ".join(
            f"![{title}, {theme}](thumbnails/{name}-{theme}.webp){{.only-{theme}}}" for theme in ("light", "dark")
        )
        cards.append(f"[{pictures}](panels/{name}.md)\n\n[{title}](panels/{name}.md): {about}.")
    body = "\n\n".join(f"::::{{container}} card\n{card}\n::::" for card in cards)
    return f"---\nhide-toc: true\n---\n# Gallery\n\n:::::{{container}} cards\n{body}\n:::::\n"


def thumbnails() -> None:
    """Small copies of the pictures for the gallery."""
    from PIL import Image

    (SOURCE / "thumbnails").mkdir()
    for name in PANELS:
        for theme in ("light", "dark"):
            with Image.open(ROOT / "docs" / "images" / f"{name}-{theme}.png") as picture:
                width, height = 480, 315
                whole = picture.convert("RGB")
                small = whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)
                small.crop((0, 0, width, height)).save(SOURCE / "thumbnails" / f"{name}-{theme}.webp", quality=60)


def live(keep: bool) -> None:
    """The live panels, made in a process of their own, unless they are there in the present state of the package."""
    mark = LIVE / "state"
    rests_on = (ROOT / "interp_widgets", HERE / "live.py")
    if mark.exists() and (keep or mark.read_text() == state(*rests_on)):
        return
    print("docs: making the live panels", flush=True)
    subprocess.run([sys.executable, HERE / "live.py", LIVE], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    mark.write_text(state(*rests_on))


def main() -> int:
    """Build; the exit status is that of Sphinx."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="take panels and notebooks that are there, however old")
    keep = parser.parse_args().keep
    began = time.monotonic()
    live(keep)
    notebooks = {path.name: executed(path, any_state=keep) for path in _notebooks()}
    stage()
    thumbnails()
    (SOURCE / "tutorials").mkdir(exist_ok=True)
    for name, notebook in notebooks.items():
        nbformat.write(notebook, SOURCE / "tutorials" / name)
    made = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-E",
        "-c",
        HERE,
        "-d",
        BUILD / "doctrees",
        SOURCE,
        HTML,
    ]
    status = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode
    print(f"docs: {HTML / 'index.html'} ({made - began:.0f} s for results, {time.monotonic() - made:.0f} s for pages)")
    return status


if __name__ == "__main__":
    sys.exit(main())
