"""`iw.load_sae`: from a bundled name, a folder or a file to a dictionary."""

from __future__ import annotations

from pathlib import Path

from ..errors import DictionaryError
from . import dictionary_learning, gemma_scope, openai, saelens, sparsify
from .dictionary import Dictionary

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


def bundled() -> dict[str, Path]:
    """The dictionaries in the package: name -> folder."""
    names = {f"smollm2-135m/{folder.name}": folder for folder in sorted((ASSETS / "smollm2-135m").glob("*/"))}
    for folder in sorted((ASSETS / "toy-grammar" / "saes").glob("*/")):
        kind, _, layer = folder.name.partition(".")
        names["toy-grammar/" + (f"{_TOY_SITES[kind]}.{layer}" if layer else kind)] = folder
    return names


def load_sae(source: str | Path, *, site: str | None = None, device: str = "cpu") -> Dictionary:
    """A dictionary.

    Args:
        source: a bundled name ("smollm2-135m/15-resid-4096", "toy-grammar/resid_post.2"), or a folder or file in one of the
            formats of docs/models.md.
        site: where it belongs, for files that do not say it; it wins over what a file says.
        device: where its weights live; default "cpu".

    Raises:
        DictionaryError: nothing of that name, a format or architecture that is not known, or damaged weights.
    """
    names = bundled()
    path = names.get(str(source)) or Path(source).expanduser()
    weights = _weights(path, names)
    named = weights.name in FORMATS
    name = (
        str(source)
        if str(source) in names
        else weights.parent.name
        if named
        else f"{weights.parent.name}/{weights.stem}"
    )
    return (FORMATS[weights.name] if named else openai.read)(weights, name, site).to(device)


def _weights(path: Path, names: dict[str, Path]) -> Path:
    """The file with the weights that a path to it or to its folder means."""
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        raise DictionaryError(
            f"There is no dictionary {str(path)!r}: neither a folder nor one of the bundled {', '.join(names)}."
        )
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
