"""Names of published dictionaries as SAELens has them, "release/id", and where on the hub each of them is.

Where SAELens is installed, its list is read, as data. Else releases.json is, which has the releases in most use; its script is
tests/sae/make_releases.py.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import DictionaryError
from .hub import Place

READABLE = (None, "gemma_2", "gemma_3", "dictionary_learning_1")
"""Formats of SAELens' list, by the names of its converters, that are ours as well; None is its own."""


def find(name: str) -> Place | None:
    """The place of "release/id"; None if no such release is known.

    Raises:
        DictionaryError: the release has no such id, or a format that cannot be read.
    """
    release, _, identity = name.partition("/")
    return _listed(release, identity) or _tabled(release, identity)


def _listed(release: str, identity: str) -> Place | None:
    """Looked up in SAELens' own list, if it is installed."""
    spec = find_spec("sae_lens")
    if spec is None or not spec.submodule_search_locations:
        return None
    file = Path(spec.submodule_search_locations[0]) / "pretrained_saes.yaml"
    if not file.is_file():
        return None
    # All of it takes seconds to parse; the part of one release does not.
    part = re.search(rf"^{re.escape(release)}:\n(?:[ -].*\n?)*", file.read_text(encoding="utf-8"), re.MULTILINE)
    if part is None:
        return None
    import yaml  # SAELens needs it, so it is there

    entry: dict[str, Any] = yaml.safe_load(part[0])[release]
    if (kind := entry.get("conversion_func")) not in READABLE:
        raise DictionaryError(
            f"The release {release} is in a format that cannot be read (SAELens converts it with {kind}); the formats of "
            "docs/models.md can."
        )
    saes = {sae["id"]: sae for sae in entry["saes"]}
    if identity not in saes:
        raise _unknown(release, identity, list(saes))
    sae = saes[identity]
    return _place(release, identity, entry, str(sae["path"]), sae.get("neuronpedia"), sae.get("norm_scaling_factor"))


def _tabled(release: str, identity: str) -> Place | None:
    """Looked up in our own table."""
    entry = json.loads(files(__package__).joinpath("releases.json").read_text(encoding="utf-8")).get(release)
    if entry is None:
        return None
    pattern = re.sub(r"\\\{\d\\\}", r"([\\w./-]+?)", re.escape(entry["id"]))
    match = re.fullmatch(pattern, identity)
    values = entry.get("values")
    key = "/".join(match.groups()) if match else ""
    if match is None or (values is not None and key not in values):
        known = (
            [entry["id"].format(*some.split("/")) for some in values]
            if values
            else [re.sub(r"\{\d\}", "…", entry["id"])]
        )
        raise _unknown(release, identity, known)
    value = values[key] if values else None
    special = entry.get("special", {}).get(identity, {})
    path, neuronpedia = (
        special.get(what, entry.get(what) and entry[what].format(*match.groups(), v=value))
        for what in ("path", "neuronpedia")
    )
    return _place(release, identity, entry, path, neuronpedia, entry.get("factors", {}).get(identity))


def _place(
    release: str, identity: str, entry: dict[str, Any], path: str, neuronpedia: str | None, factor: float | None
) -> Place:
    config = dict(entry.get("config_overrides") or {})
    return Place(entry["repo_id"], path, None, f"{release}/{identity}", neuronpedia, config, factor)


def _unknown(release: str, identity: str, known: list[str]) -> DictionaryError:
    shown = ", ".join(known[:5]) + (" and more" if len(known) > 5 else "")
    return DictionaryError(f"The release {release} has no dictionary {identity!r}; it has {shown}.")
