"""`iw.load_sae`: from a bundled name, a folder or file, a place on the Hugging Face hub or a release to a dictionary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DictionaryError
from . import dictionary_learning, gemma_scope, hub, openai, releases, saelens, sparsify
from .dictionary import Dictionary
from .files import Told

ASSETS = Path(__file__).parents[1] / "assets"
_TOY_SITES = {"resid": "resid_post", "attn": "attn_out", "mlp": "mlp_out"}

FORMATS = {
    "sae_weights.safetensors": saelens.read,
    "sae.safetensors": sparsify.read,
    "params.safetensors": gemma_scope.read,
    "params.npz": gemma_scope.read,
    "ae.pt": dictionary_learning.read,
}
"""The name of the file with the weights -> who reads it. Of several in a folder the first here is taken: pickles last.

Any other .pt file is read as OpenAI's, which numbers its files."""

_BESIDE = ("cfg.json", "config.json", "activation_scaler.json")


def bundled() -> dict[str, Path]:
    """The dictionaries in the package: name -> folder."""
    names = {f"smollm2-135m/{folder.name}": folder for folder in sorted((ASSETS / "smollm2-135m").glob("*/"))}
    for folder in sorted((ASSETS / "toy-grammar" / "saes").glob("*/")):
        kind, _, layer = folder.name.partition(".")
        names["toy-grammar/" + (f"{_TOY_SITES[kind]}.{layer}" if layer else kind)] = folder
    return names


def bundled_corpus(sae: Dictionary) -> Path | None:
    """The folder of the examples that lie beside a dictionary's weights; None if there are none."""
    folder = Path(sae.origin.get("weights", "")).parent / "corpus"
    return folder if (folder / "corpus.json").is_file() else None


def load_sae(
    source: str | Path,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    site: str | None = None,
    site_out: str | None = None,
    device: str = "cpu",
) -> Dictionary:
    """A dictionary.

    Args:
        source: a bundled name ("smollm2-135m/15-resid-4096", "toy-grammar/resid_post.2"); a folder or file in one of the formats
            of docs/models.md; a repository on the Hugging Face hub with the folder or file in it
            ("EleutherAI/sae-llama-3-8b-32x/layers.10"); a release and an id, as SAELens names them
            ("gpt2-small-res-jb/blocks.8.hook_resid_pre").
        subfolder: the folder or file below the source, if it is not part of it.
        revision: a branch, tag or commit of the repository; default its main branch. Not for what is on this machine.
        site: what it reads, for files that do not say it; it wins over what a file says.
        site_out: what a transcoder writes, likewise.
        device: where its weights live; default "cpu".

    Raises:
        DictionaryError: nothing of that name, no answer from the hub, a format or architecture that is not known, damaged weights.
    """
    names, name = bundled(), "/".join(filter(None, (str(source), subfolder)))
    told = Told(site, site_out)
    origin: dict[str, Any] = {}
    if name in names:
        path = names[name]
    elif (path := Path(source).expanduser() / (subfolder or "")).exists():
        name = ""
    else:
        found = releases.find(name) or hub.Place.parse(name)
        if found is None:
            raise DictionaryError(
                f"There is no dictionary {name!r}: neither a file or folder, nor a place on the Hugging Face hub "
                f"(owner/name/folder), nor one of the bundled {', '.join(names)}."
            )
        place = replace(found, revision=revision or found.revision)
        path, origin = hub.fetch(place, (*FORMATS, *_BESIDE))
        told = replace(told, config=found.config, factor=found.factor)
    weights = _weights(path)
    read = FORMATS.get(weights.name)
    label = name or (weights.parent.name if read else f"{weights.parent.name}/{weights.stem}")
    sae = (read or openai.read)(weights, label, told)
    return replace(sae, origin={**sae.origin, **origin}).to(device)


def _weights(path: Path) -> Path:
    """The file with the weights that a path to it or to its folder means."""
    folder = path.parent if path.is_file() else path
    if path.is_file() and (path.name in FORMATS or path.suffix == ".pt"):
        return path
    for name in FORMATS:
        if (folder / name).is_file():
            return folder / name
    below = sorted({file.parent.name for n in FORMATS for file in folder.glob(f"*/{n}")})
    raise DictionaryError(
        f"{folder} has no {', '.join(FORMATS)}, so there are no weights to read."
        + (f" Give one of the folders in it: {', '.join(below)}." if below else "")
    )
