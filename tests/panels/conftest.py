"""The panels on the bundled model, finished."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import interp_widgets as iw
from interp_widgets.lab.biographies import toy_biographies
from interp_widgets.lab.toy_grammar.pairs import agreement_pairs
from tests.methods.conftest import IOI, IOI_CORRUPT, some_pairs
from tests.methods.conftest import toy as toy
from tests.methods.conftest import toy_sae as toy_sae

SENTENCES = [
    f"when {a} and {b} went to the store , {b} gave a drink to {a} ."
    for a in ("mary", "john", "anna", "tom")
    for b in ("emma", "paul", "lucy", "peter")
]
TEXT = "the keys to the cabinet are on the table ."
CIRCUIT, CIRCUIT_CORRUPT = "the keys that the king admires", "the key that the king admires"
CIRCUIT_FEW = [f"toy-grammar/{site}" for site in ("embed", "resid_post.1", "resid_post.2", "mlp_out.3")]
STEERED = "mary went home because"


@pytest.fixture
def lens(toy) -> iw.Lens:
    panel = iw.Lens(toy, IOI)
    panel.run()
    return panel


@pytest.fixture
def atoms(toy, toy_sae) -> iw.Atoms:
    panel = iw.Atoms(toy, TEXT, sae=toy_sae)
    panel.run()
    return panel


@pytest.fixture
def attention(toy) -> iw.Attention:
    panel = iw.Attention(toy, IOI)
    panel.run()
    return panel


@pytest.fixture
def patching(toy) -> iw.Patching:
    panel = iw.Patching(toy, IOI, IOI_CORRUPT, answer="mary", foil="john")
    panel.run()
    return panel


@pytest.fixture(scope="session")
def toy_half() -> iw.Session:
    """The bundled model, rounded."""
    return iw.load("toy-grammar", dtype="bfloat16")


@pytest.fixture
def agreement(toy, toy_half) -> iw.Agreement:
    panel = iw.Agreement(toy, toy_half, IOI)
    panel.run()
    return panel


@pytest.fixture
def many(toy) -> iw.PatchingPairs:
    panel = iw.PatchingPairs(toy, some_pairs(), positions=[10, -1])
    panel.run()
    return panel


@pytest.fixture
def circuit(toy) -> iw.Circuit:
    """Of four sites, for speed."""
    panel = iw.Circuit(
        toy, CIRCUIT, CIRCUIT_CORRUPT, answer="are", foil="is", dictionaries=CIRCUIT_FEW, errors=("nodes",), edges=40
    )
    panel.run()
    return panel


@pytest.fixture
def shift(toy, toy_sae) -> iw.Shift:
    """Two atoms struck out."""
    panel = iw.Shift(
        toy, toy_biographies(train=20, test=20), site="resid_post.2", dictionaries=[toy_sae], texts=8, steps=1, draws=1
    )
    panel.strike(*(row["node"] for row in panel.effects.drop_nulls("atom").head(2).to_dicts()))
    panel.run()
    return panel


@pytest.fixture
def steering(toy, toy_sae) -> iw.Steering:
    panel = iw.Steering(toy, STEERED, direction=(toy_sae, 122), tokens=5)
    panel.run()
    return panel


@pytest.fixture
def explorer(toy, toy_sae) -> iw.Explorer:
    panel = iw.Explorer(toy, IOI, sae=toy_sae, corrupt=IOI_CORRUPT, answer="mary", foil="john")
    panel.run()
    return panel


@pytest.fixture
def audit(toy, toy_sae) -> iw.Audit:
    panel = iw.Audit(toy, {"one": SENTENCES[:12], "two": SENTENCES[12:]}, sae=toy_sae, text=TEXT)
    panel.run()
    return panel


@pytest.fixture(params=["lens", "atoms", "attention", "patching", "many", "steering", "audit", "agreement"])
def panel(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["lens", "atoms", "attention", "patching", "steering", "agreement"])
def make(request, toy, toy_sae, toy_half) -> Callable:
    """A function from a text to a panel that reads it, still working or not."""
    return {
        "lens": lambda text: iw.Lens(toy, text),
        "atoms": lambda text: iw.Atoms(toy, text, sae=toy_sae),
        "attention": lambda text: iw.Attention(toy, text),
        "patching": lambda text: iw.Patching(toy, text, text, answer="mary", foil="john"),
        "agreement": lambda text: iw.Agreement(toy, toy_half, text),
        "steering": lambda text: iw.Steering(toy, text, direction=(toy_sae, 122), tokens=5),
    }[request.param]


def request_of(panel, text: str = "the cat") -> dict[str, str]:
    """What a run message holds for this kind of panel."""
    if isinstance(panel, iw.PatchingPairs):
        return {}
    if isinstance(panel, iw.Circuit):
        return {"clean": text, "corrupt": ""}
    return {"clean": text, "corrupt": IOI_CORRUPT} if isinstance(panel, iw.Patching) else {"text": text}


def click(panel, kind: str, **request) -> None:
    """What the browser sends for a request."""
    panel._handle_custom_msg({"type": kind, **request}, [])


@pytest.fixture(scope="session")
def several() -> dict[str, list]:
    """Eight pairs of prompts of a circuit, over a relative clause."""
    pairs = agreement_pairs(8, "rc_obj", seed=3)
    return {name: pairs[name].to_list() for name in ("clean", "corrupt", "answer", "foil")}


def on_in_clean(panel) -> str:
    """The node that carries most and is on in the clean prompts alone."""
    on = panel.frame.filter(pl.col("activation") > 0, pl.col("corrupt_activation") == 0, kind="atom")
    return str(on.sort("effect")["node"][-1])


def rest(panel: iw.Circuit) -> None:
    for job in list(panel._beside.values()):
        assert job.wait(30)
