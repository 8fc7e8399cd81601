"""`iw.load_sae`: from a bundled name, a folder or a hub repository to a dictionary."""

from __future__ import annotations

from pathlib import Path

from ..errors import DictionaryError
from . import saelens
from .dictionary import Dictionary

ASSETS = Path(__file__).parents[1] / "assets"
_TOY_SITES = {"resid": "resid_post", "attn": "attn_out", "mlp": "mlp_out"}


def bundled() -> dict[str, Path]:
    """The dictionaries in the package: name -> folder."""
    names = {"smollm2-135m/15-resid-4096": ASSETS / "smollm2-135m" / "15-resid-4096"}
    for folder in sorted((ASSETS / "toy-grammar" / "saes").glob("*/")):
        kind, _, layer = folder.name.partition(".")
        names["toy-grammar/" + (f"{_TOY_SITES[kind]}.{layer}" if layer else kind)] = folder
    return names


def load_sae(source: str | Path, *, device: str = "cpu") -> Dictionary:
    """A dictionary.

    Args:
        source: a bundled name ("smollm2-135m/15-resid-4096", "toy-grammar/resid_post.2"), or a folder in SAELens' format
            (cfg.json and sae_weights.safetensors).
        device: where its weights live; default "cpu".

    Raises:
        DictionaryError: nothing of that name, a format or architecture that is not known, or damaged weights.
    """
    names = bundled()
    if str(source) in names:
        return saelens.read(names[str(source)], name=str(source)).to(device)
    folder = Path(source).expanduser()
    if folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        raise DictionaryError(
            f"There is no dictionary {str(source)!r}: neither a folder nor one of the bundled {', '.join(names)}."
        )
    return saelens.read(folder, name=folder.name).to(device)
