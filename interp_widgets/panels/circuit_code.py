"""The script of a circuit: with nnsight alone where effects are by attribution, else this package called with what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DictionaryError

if TYPE_CHECKING:
    from ..session.session import Session
    from .circuit_found import Found
    from .circuit_question import Question

OF_A_GRAPH = """# A circuit graph that was opened. Save it first: panel.save("graph.json")
import interp_widgets as iw

frame = iw.read_graph("graph.json").nodes
"""


def script(model: Session, found: Found, given: Any) -> str:
    """A script that makes the frame of nodes.

    Args:
        model: the session.
        found: the result.
        given: dictionaries as `methods.circuit` takes them.

    Raises:
        DictionaryError: a dictionary that was made in memory.
    """
    if found.method == "attribution" and found.run is not None:
        from ..methods.pair_statistics import student
        from ..session import scripts

        count = found.prompts.count
        return scripts.circuit(model, found.run, found.dictionaries, student(count - 1) if count > 1 else None)
    return _calling(model, found.question, given, found.method, found.options)


def switched(model: Session, found: Found, given: Any, switches: Mapping[str, float], prompt: str) -> str:
    """What such a script goes on with where nodes are switched: the prediction after one prompt, and the metric of all.

    Raises:
        DictionaryError: a dictionary that was made in memory.
    """
    if not switches:
        return ""
    from .circuit_question import checked_prompt
    from .circuit_switch import SHOWN

    side, row = checked_prompt(prompt, found.prompts)
    answer, foil = found.prompts.answers[row], found.prompts.foils[row] or None
    dictionaries = "" if given is None else f", dictionaries={_dictionaries(given)}"
    asked = {name: value for name, value in found.question.arguments().items() if value is not None}
    return f"""
# Nodes scaled: what is predicted after {prompt}, and the metric of every clean prompt
import interp_widgets as iw

{_loading(model)}
scales = {dict(switches)!r}
predictions = iw.methods.circuit_prediction(
    model,
    text={found.prompts.ids(row, side)!r},
    scales=scales,
    answer={answer!r},
    foil={foil!r},
    top={SHOWN}{dictionaries},
)
asked = {asked!r}
changes = iw.methods.circuit_change(model, scales=scales, **asked{dictionaries})
"""


def _calling(model: Session, question: Question, given: Any, method: str, options: Mapping[str, Any]) -> str:
    """The same by this package."""
    asked = {name: value for name, value in question.arguments().items() if value is not None}
    lines = [f"{name}={value!r}," for name, value in asked.items()]
    if given is not None:
        lines.append(f"dictionaries={_dictionaries(given)},")
    lines += [f"{name}={value!r}," for name, value in {"method": method, **options}.items()]
    body = "\n".join(f"    {line}" for line in lines)
    return f"""# The nodes of a circuit: sparse feature circuits, Marks et al., arXiv:2403.19647
import interp_widgets as iw

{_loading(model)}
frame = iw.methods.circuit(
    model,
{body}
)
"""


def _loading(model: Session) -> str:
    from ..session.load import BUNDLED

    where = model.name if model.name in BUNDLED else model.source
    if where is None:
        return "model = iw.load(...)  # the module and the tokenizer that you gave to iw.load\n"
    remote = f", remote={model.remote!r}" if model.remote else f", device={str(model.device)!r}"
    return f"model = iw.load({str(where)!r}, dtype={model.dtype.removeprefix('torch.')!r}{remote})\n"


def _dictionaries(given: Any) -> str:
    if isinstance(given, str):
        return repr(given)
    if isinstance(given, Mapping):
        return "{" + ", ".join(f"{site!r}: {_dictionaries(each)}" for site, each in given.items()) + "}"
    if isinstance(given, list | tuple):
        return "[" + ", ".join(map(_dictionaries, given)) + "]"
    return _one(given)


def _one(sae: Any) -> str:
    from ..sae.load import bundled

    if sae.name in bundled():
        return f"iw.load_sae({sae.name!r})"
    weights = sae.origin.get("weights")
    if not weights:
        raise DictionaryError(
            f"{sae.name} was made in memory, so no script can read it. Use a dictionary that iw.load_sae reads from a file."
        )
    return f"iw.load_sae({str(Path(weights).resolve())!r}, site={sae.site!r})"
