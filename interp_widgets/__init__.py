"""Interactive analysis of language models in Jupyter: click tokens, read layers and SAE atoms, patch activations.

    import interp_widgets as iw

    model = iw.load("smollm2-135m")
    iw.Lens(model, "The Eiffel Tower is in the city of")

This page is the table of contents. Importing it is fast: torch, the widgets and the charts load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .importing import LOCK as _LOCK
from .importing import has_torch as _has_torch

if TYPE_CHECKING:
    from . import errors as errors
    from . import frames as frames
    from . import methods as methods
    from .export.html import to_html as to_html
    from .graphs.files import read_graph as read_graph
    from .graphs.graph import Graph as Graph
    from .methods.audit import audit as audit
    from .methods.corpus import corpus as corpus
    from .methods.neuronpedia import to_neuronpedia as to_neuronpedia
    from .panels.agreement import Agreement as Agreement
    from .panels.atoms import Atoms as Atoms
    from .panels.attention import Attention as Attention
    from .panels.audit import Audit as Audit
    from .panels.circuit import Circuit as Circuit
    from .panels.examples import Examples as Examples
    from .panels.explorer import Explorer as Explorer
    from .panels.lens import Lens as Lens
    from .panels.pairs import PatchingPairs as PatchingPairs
    from .panels.patching import Patching as Patching
    from .panels.reopen import reopen as reopen
    from .panels.resume import resume as resume
    from .panels.shift import Shift as Shift
    from .panels.steering import Steering as Steering
    from .sae.corpus.reader import open_corpus as open_corpus
    from .sae.corpus.tables import read_examples as read_examples
    from .sae.load import load_sae as load_sae
    from .sae.neuronpedia import read_neuronpedia as read_neuronpedia
    from .sae.train import train_sae as train_sae
    from .session.architectures import Architecture as Architecture
    from .session.load import load as load
    from .session.recorded.record import record as record
    from .session.recorded.replay import replay as replay
    from .session.remote.served import models as models
    from .session.remote.tickets import jobs as jobs
    from .session.session import Session as Session

__version__ = "0.1.0"

_CONTENTS = {
    "Agreement": ".panels.agreement",
    "Architecture": ".session.architectures",
    "Atoms": ".panels.atoms",
    "Attention": ".panels.attention",
    "Audit": ".panels.audit",
    "Circuit": ".panels.circuit",
    "Examples": ".panels.examples",
    "Explorer": ".panels.explorer",
    "Graph": ".graphs.graph",
    "Lens": ".panels.lens",
    "Patching": ".panels.patching",
    "PatchingPairs": ".panels.pairs",
    "Session": ".session.session",
    "Shift": ".panels.shift",
    "Steering": ".panels.steering",
    "audit": ".methods.audit",
    "corpus": ".methods.corpus",
    "errors": "",
    "frames": "",
    "jobs": ".session.remote.tickets",
    "load": ".session.load",
    "load_sae": ".sae.load",
    "methods": "",
    "models": ".session.remote.served",
    "open_corpus": ".sae.corpus.reader",
    "read_examples": ".sae.corpus.tables",
    "read_graph": ".graphs.files",
    "read_neuronpedia": ".sae.neuronpedia",
    "record": ".session.recorded.record",
    "reopen": ".panels.reopen",
    "replay": ".session.recorded.replay",
    "resume": ".panels.resume",
    "to_html": ".export.html",
    "to_neuronpedia": ".methods.neuronpedia",
    "train_sae": ".sae.train",
}

__all__ = [
    "Agreement",
    "Architecture",
    "Atoms",
    "Attention",
    "Audit",
    "Circuit",
    "Examples",
    "Explorer",
    "Graph",
    "Lens",
    "Patching",
    "PatchingPairs",
    "Session",
    "Shift",
    "Steering",
    "audit",
    "corpus",
    "errors",
    "frames",
    "jobs",
    "load",
    "load_sae",
    "methods",
    "models",
    "open_corpus",
    "read_examples",
    "read_graph",
    "read_neuronpedia",
    "record",
    "reopen",
    "replay",
    "resume",
    "to_html",
    "to_neuronpedia",
    "train_sae",
]


_RECALLED = (
    "Agreement",
    "Atoms",
    "Attention",
    "Audit",
    "Circuit",
    "Explorer",
    "Lens",
    "Patching",
    "PatchingPairs",
    "Shift",
    "Steering",
)
_WITHOUT_TORCH = dict.fromkeys(_RECALLED, ".panels.recalled") | {
    "load_sae": ".panels.named",
    "replay": ".session.recorded.shown",
}
"""What stands for a name where torch is not installed: panels of a recording, and nothing that computes."""


def __getattr__(name: str) -> Any:
    if name not in _CONTENTS:
        raise AttributeError(f"interp_widgets has no {name!r}; it has {', '.join(_CONTENTS)}.")
    where = _CONTENTS[name]
    if name in _WITHOUT_TORCH and not _has_torch():
        where = _WITHOUT_TORCH[name]
    try:
        with _LOCK:
            module = import_module(where or f".{name}", __name__)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers", "nnsight"):
            raise
        raise ModuleNotFoundError(
            f"iw.{name} needs {error.name}, which is not installed here. What was recorded is shown without it: iw.replay(path).",
            name=error.name,
        ) from error
    value = getattr(module, name) if where else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
