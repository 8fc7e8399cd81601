"""What a file carries beside its content: a title, a description, and what the result rests on.

None of it is drawn. Folders of this machine are left out: a figure may go to a review where nobody is to know its authors.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import xml.etree.ElementTree as ET
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ..views.publication import INCH

if TYPE_CHECKING:
    from ..panels.examples import Examples
    from ..panels.panel import Instrument

SVG = "http://www.w3.org/2000/svg"
NEVER_DRAWN = {"class", "role", "pointer-events", "version"}
"""Attributes that Vega writes and that a picture does without; so are those of ARIA, as the picture speaks as a whole."""
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML may have."""


@dataclass(frozen=True)
class Carried:
    """Texts that go with a file."""

    title: str
    description: str
    provenance: str
    """JSON."""


def carried(panel: Instrument | Examples) -> Carried:
    """What a panel's file says of itself: the panel's summary and notes, and its provenance."""
    from .. import __version__

    name = type(panel).__name__
    rests_on = {"panel": name, "interp_widgets": __version__, **getattr(panel, "provenance", {})}
    return Carried(
        title=": ".join(part for part in (name, panel.model_name) if part),
        description=" ".join(each for each in [panel.summary, *panel.notes] if each),
        provenance=json.dumps(_without_folders(rests_on), ensure_ascii=False, default=str),
    )


def _without_folders(value: Any) -> Any:
    """Of an absolute path only its name."""
    if isinstance(value, dict):
        return {name: _without_folders(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(each) for each in value]
    for kind in (PurePosixPath, PureWindowsPath):
        if isinstance(value, str | PurePosixPath | PureWindowsPath) and kind(value).is_absolute():
            return kind(value).name
    return value


def size(svg: str) -> tuple[float, float]:
    """Width and height of an SVG of Vega, in pixels."""
    found = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', svg)
    assert found is not None
    return float(found[1]), float(found[2])


def in_svg(svg: str, width: float | None = None, said: Carried | None = None) -> str:
    """An SVG of Vega as a file of its own, `width` inches wide, with what it carries; without that, as one to be converted.

    Ids are made unique, so that several pictures can stand in one page.
    """
    for prefix, space in (("", SVG), ("xlink", "http://www.w3.org/1999/xlink")):
        ET.register_namespace(prefix, space)
    root = ET.fromstring(NO_XML.sub("�", svg))
    for parent in root.iter():
        for child in [child for child in parent if child.get("display") == "none" or child.get("opacity") == "0"]:
            parent.remove(child)  # such as labels that would overlap: nobody should select what cannot be seen
    mark = f"iw-{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name in NEVER_DRAWN or name.startswith("aria-"):
                del element.attrib[name]
            elif name == "id":
                element.set(name, mark + value)
            elif value.startswith("url(#"):
                element.set(name, value.replace("url(#", f"url(#{mark}"))
    inches = [pixels / INCH for pixels in size(svg)]
    scale = 1 if width is None else width / inches[0]
    for name, length in zip(("width", "height"), inches, strict=True):
        # vl-convert takes a plain number for a point, in a PDF and in a PNG alike
        root.set(name, f"{length * scale * 72:g}" if said is None else f"{length * scale:.4f}in")
    if said is not None:
        root.set("role", "img")
        root.set("aria-label", NO_XML.sub("�", said.title))
        texts = (("title", said.title), ("desc", said.description), ("metadata", said.provenance))
        for at, (tag, text) in enumerate((tag, text) for tag, text in texts if text):
            element = ET.Element(f"{{{SVG}}}{tag}")
            element.text = NO_XML.sub("�", text)
            root.insert(at, element)
    return ET.tostring(root, encoding="unicode") + "\n"


def in_png(png: bytes, said: Carried) -> bytes:
    """A PNG with text chunks: Title, Description, Software and interp_widgets (the provenance, JSON)."""
    texts = {
        "Title": said.title,
        "Description": said.description,
        "Software": "interp_widgets",
        "interp_widgets": said.provenance,
    }
    start = 8 + 25  # the signature, and the header that must come first
    chunks = b"".join(
        _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode()) for key, text in texts.items() if text
    )
    return png[:start] + chunks + png[start:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def in_pdf(pdf: bytes, said: Carried) -> bytes:
    """A PDF with document information, appended as the format provides: a new object, a table of it, and a trailer.

    A PDF without the plain trailer that is expected is returned as it is.
    """
    found = re.search(
        rb"trailer\s*<<\s*(/Size (\d+)\s+/Root \d+ 0 R).*?>>\s*startxref\s+(\d+)\s+%%EOF\s*$", pdf, re.DOTALL
    )
    if found is None:
        return pdf
    kept, number, former = found[1], int(found[2]), int(found[3])
    texts = {
        "Title": said.title,
        "Subject": said.description,
        "Creator": "interp_widgets",
        "interp_widgets": said.provenance,
    }
    fields = "".join(
        f"/{key} <{(chr(0xFEFF) + text).encode('utf-16-be').hex()}>\n" for key, text in texts.items() if text
    )
    pdf = pdf.rstrip() + b"\n"
    info, at = f"{number} 0 obj\n<<\n{fields}>>\nendobj\n".encode(), len(pdf)
    kept = kept.replace(b"/Size %d" % number, b"/Size %d" % (number + 1))
    table = b"xref\n%d 1\n%010d 00000 n \ntrailer\n<<\n%s\n/Prev %d\n/Info %d 0 R\n>>\nstartxref\n%d\n%%%%EOF\n" % (
        number, at, kept, former, number, at + len(info),
    )  # fmt: skip
    return pdf + info + table
