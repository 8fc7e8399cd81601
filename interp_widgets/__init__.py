"""Interactive analysis of language models in Jupyter: click tokens, read layers and SAE atoms, patch activations.

    import interp_widgets as iw

    model = iw.load("smollm2-135m")
    iw.Lens(model, "The Eiffel Tower is in the city of")

This page is the table of contents. Importing it is fast: torch, the widgets and the charts load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from . import frames as frames
    from . import methods as methods
    from .export.html import to_html as to_html
    from .methods.corpus import corpus as corpus
    from .methods.neuronpedia import to_neuronpedia as to_neuronpedia
    from .panels.atoms import Atoms as Atoms
    from .panels.attention import Attention as Attention
    from .panels.examples import Examples as Examples
    from .panels.lens import Lens as Lens
    from .panels.pairs import PatchingPairs as PatchingPairs
    from .panels.patching import Patching as Patching
    from .sae.corpus.reader import open_corpus as open_corpus
    from .sae.corpus.tables import read_examples as read_examples
    from .sae.load import load_sae as load_sae
    from .sae.neuronpedia import read_neuronpedia as read_neuronpedia
    from .session.architectures import Architecture as Architecture
    from .session.load import load as load
    from .session.session import Session as Session

__version__ = "0.1.0"

_CONTENTS = {
    "Architecture": ".session.architectures",
    "Atoms": ".panels.atoms",
    "Attention": ".panels.attention",
    "Examples": ".panels.examples",
    "Lens": ".panels.lens",
    "Patching": ".panels.patching",
    "PatchingPairs": ".panels.pairs",
    "Session": ".session.session",
    "corpus": ".methods.corpus",
    "errors": "",
    "frames": "",
    "load": ".session.load",
    "load_sae": ".sae.load",
    "methods": "",
    "open_corpus": ".sae.corpus.reader",
    "read_examples": ".sae.corpus.tables",
    "read_neuronpedia": ".sae.neuronpedia",
    "to_html": ".export.html",
    "to_neuronpedia": ".methods.neuronpedia",
}

__all__ = [
    "Architecture",
    "Atoms",
    "Attention",
    "Examples",
    "Lens",
    "Patching",
    "PatchingPairs",
    "Session",
    "corpus",
    "errors",
    "frames",
    "load",
    "load_sae",
    "methods",
    "open_corpus",
    "read_examples",
    "read_neuronpedia",
    "to_html",
    "to_neuronpedia",
]


def __getattr__(name: str) -> Any:
    if name not in _CONTENTS:
        raise AttributeError(f"interp_widgets has no {name!r}; it has {', '.join(_CONTENTS)}.")
    if not _CONTENTS[name]:
        return import_module(f".{name}", __name__)
    value = getattr(import_module(_CONTENTS[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
