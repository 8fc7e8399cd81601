"""Annotation lines of Sparse Feature Circuits: JSON, an atom a line, such as {"Name": "resid_5/3036", "Annotation": "..."}."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import GraphError
from ..frames.circuits import parse_node
from .graph import Graph
from .structure import clean, kind_of

MOST_BYTES = 64 * 2**20
KINDS = {"embed": "embed", "attn": "attn_out", "mlp": "mlp_out", "resid": "resid_post"}
"""What that code calls a submodule -> our kind of site."""
_THEIRS = re.compile(r"(?P<kind>attn|mlp|resid)_(?P<layer>\d{1,6})", re.ASCII)


def own_site(submodule: str) -> str | None:
    """Our name of a site: resid_5 -> resid_post.5; None for what is no name of theirs."""
    if submodule == "embed":
        return "embed"
    found = _THEIRS.fullmatch(submodule)
    return f"{KINDS[found['kind']]}.{int(found['layer'])}" if found else None


def their_site(site: str) -> str | None:
    """Their name of a submodule: resid_post.5 -> resid_5; None for a site that they do not have."""
    if site == "embed":
        return "embed"
    kind, _, layer = site.partition(".")
    theirs = next((name for name, ours in KINDS.items() if ours == kind and name != "embed"), None)
    return f"{theirs}_{layer}" if theirs and layer.isdecimal() else None


def read_annotations(path: str | Path) -> dict[str, str]:
    """Atom -> annotation, as a file of annotation lines has them: `resid_5/3036` -> `promotes singular verb forms`.

    Lines without an annotation are passed over. Of two lines of one name the later counts, as in that code.

    Raises:
        GraphError: no such file, a file that is too large, or a line that is no annotation.
    """
    file = Path(path).expanduser()
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise GraphError(f"{file} has {size:,} bytes; {MOST_BYTES:,} are read at most.")
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise GraphError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise GraphError(f"{file} is no text in UTF-8: {error}.") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise GraphError(f"{file}, line {number}, cannot be read as JSON: {error}.") from error
        if not isinstance(said, Mapping) or not isinstance(said.get("Name"), str):
            raise GraphError(f"{file}, line {number}, is {kind_of(said)} without a Name, such as resid_5/3036.")
        text = said.get("Annotation")
        if text is not None and not isinstance(text, str):
            raise GraphError(f"{file}, line {number}: Annotation is {kind_of(text)}, but must be a text.")
        if text:
            found[clean(said["Name"])] = clean(text)
    return found


def labels_for(graph: Graph, texts: Mapping[str, str]) -> dict[str, str]:
    """Node -> label, out of texts by node, or by atom in our naming or theirs."""
    by_atom = {_ours(name): text for name, text in texts.items()}
    labels = {}
    for name in graph.nodes["node"]:
        text = texts.get(name) or by_atom.get(name.partition("@")[0])
        if text:
            labels[name] = text
    return labels


def annotation_lines(graph: Graph) -> str:
    """The labels of atoms as annotation lines, one per atom; of several positions the first that is labelled counts.

    Raises:
        GraphError: no atom of theirs has a label.
    """
    lines: dict[str, str] = {}
    for name in graph.nodes["node"]:
        node, label = parse_node(name), graph.labels.get(name)
        theirs = their_site(node.site) if node else None
        if not (label and node and theirs) or node.atom is None:
            continue
        component, _, layer = theirs.partition("_")
        said = {"Component": component, **({"Layer": layer} if layer else {}), "Feature": str(node.atom)}
        said |= {"Name": f"{theirs}/{node.atom}", "Annotation": label, "Notes": ""}
        lines.setdefault(said["Name"], json.dumps(said, ensure_ascii=True))
    if not lines:
        raise GraphError(
            "No atom of embed, attn_out, mlp_out or resid_post has a label, so there is no annotation to write."
        )
    return "".join(f"{line}\n" for line in lines.values())


def _ours(name: str) -> str:
    submodule, _, atom = name.partition("/")
    return f"{own_site(submodule) or submodule}/{atom}"
