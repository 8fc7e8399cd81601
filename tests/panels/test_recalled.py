"""Panels of a recording where torch is not installed: what was recorded is shown, all else is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import interp_widgets as iw
from interp_widgets.lab.biographies import toy_biographies
from tests import layers
from tests.remote.cases import PAIR, STREAM, TEXT, TEXTS

SCRIPT = """
import json, sys
for name in ("torch", "transformers", "nnsight", "safetensors", "tokenizers", "huggingface_hub"):
    sys.modules[name] = None
import polars as pl
import interp_widgets as iw
from interp_widgets.errors import NotRecorded

given = json.loads({given!r})
TEXT, PAIR, TEXTS, atoms_of = given["text"], given["pair"], given["texts"], given["atoms"]
folder = {folder!r}
model = iw.replay(folder + "/toy.recording")
sae = iw.load_sae({stream!r})


def raises(ask, *words):
    try:
        ask()
    except NotRecorded as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(f"nothing was said of {{words}}")


def same(name, frame):
    assert frame.equals(pl.read_parquet(f"{{folder}}/{{name}}.parquet"), null_equal=True), name


def send(panel, **message):
    panel._on_message(None, message, [])


{body}
assert not [name for name in ("torch", "transformers", "nnsight") if sys.modules.get(name)]
"""


FEW: dict[str, Any] = {"dictionaries": [STREAM], "errors": ["nodes"], "edges": 5}
"""A small circuit."""


def pairs() -> Any:
    from tests.remote.cases import _pairs

    return _pairs()


def rest(panel: Any) -> Any:
    for job in [panel._job, *panel._beside.values()]:
        if job is not None:
            job.wait()
    assert not panel.error
    return panel


def press(panel: Any, **message: Any) -> None:
    panel._on_message(None, message, [])
    rest(panel)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a recording of every panel, and their frames."""
    folder = tmp_path_factory.mktemp("recalled")
    sae, model = iw.load_sae(STREAM), iw.load("toy-grammar")

    def keep(name: str, frame: Any) -> None:
        frame.write_parquet(folder / f"{name}.parquet")

    with iw.record(model, folder / "toy.recording") as session:
        lens = rest(iw.Lens(session, TEXT))
        keep("first", lens.frame)
        press(lens, type="line", position=3, token_id=8)
        press(lens, type="track", text="john")
        keep("lens", lens.frame)
        rest(iw.Lens(session, "the keys to the cabinet", top_k=2))
        atoms = rest(iw.Atoms(session, TEXT, sae=sae))
        chosen = atoms.frame["atom"].unique().sort()[:3].to_list()
        for atom in chosen:
            atoms.select(atom=atom)
            rest(atoms)
        press(atoms, type="find", how="effect", query="")
        keep("atoms", atoms.frame)
        attention = rest(iw.Attention(session, TEXT))
        attention.head = [0, 0]
        rest(attention)
        attention.head = [2, 1]
        rest(attention)
        keep("attention", attention.frame)
        patching = rest(iw.Patching(session, **PAIR))
        keep("patching", patching.frame)
        patching.select(site="resid_post", layer=1, position=11)
        rest(patching)
        patching.metric = "probability"
        press(patching, type="turn", direction="noise")
        keep("noise", patching.frame)
        many = rest(iw.PatchingPairs(session, pairs(), positions=[11]))
        keep("pairs", many.frame)
        many.metric = "probability"
        many.select(position=11, layer=1)
        steering = rest(iw.Steering(session, TEXT, direction=(sae, 5), strengths=[0.0, 4.0], tokens=4))
        press(steering, type="strength", value=2.0)
        keep("steering", steering.frame)
        audit = rest(iw.Audit(session, {"some": TEXTS * 4}, sae=sae, loss_tokens=60))
        keep("audit", audit.frame)
        agreement = rest(iw.Agreement(session, model, TEXT))
        keep("agreement", agreement.frame)
        data = toy_biographies(train=20, test=20)
        keep("texts", data)
        shift = rest(iw.Shift(session, data, site="resid_post.2", dictionaries=[sae], texts=8, steps=1, draws=1))
        keep("shift", shift.frame)
        nodes = [row["node"] for row in shift.listed[:2]]
        shift.struck = nodes[:1]  # as a press does
        keep("shift, one", rest(shift).frame)
        press(shift, type="compare")
        keep("shift, one compared", shift.frame)
        shift.strike(nodes[1])
        keep("shift, two", rest(shift).frame)
        keep("shift, two compared", shift.compare())
        circuit = rest(iw.Circuit(session, **pairs().to_dict(as_series=False), **FEW))
        keep("circuit", circuit.frame)
        node = circuit.frame["node"][0]
        circuit.switches = {node: 0.0}
        rest(circuit)
        circuit.prompt = "corrupt 1"
        rest(circuit)
        keep("predictions", circuit.predictions)
        said = {"change": circuit.mean_change, "corrupt": circuit.prediction}
    given = {
        "text": TEXT,
        "pair": PAIR,
        "texts": TEXTS,
        "atoms": chosen,
        "pairs": pairs().to_dict(as_series=False),
        "nodes": nodes,
        "few": FEW,
        "node": node,
        "said": said,
    }
    return folder, given


BODIES = {
    "Lens": """
lens = iw.Lens(model, TEXT)
same("first", lens.frame)
assert lens.recorded and lens.provenance["backend"] == "recorded" and "nnsight" in lens.code()
lens.select(position=3, layer=1)
assert len(lens.selection) == 5 and lens.chart.to_dict()
assert not lens.extra_lines
send(lens, type="line", position=3, token_id=8)
assert [line["token_id"] for line in lens.extra_lines] == [8] and not lens.error
assert lens.positions == [3] and lens.cell == [1, 3]
state = lambda: {name: value for name, value in lens.get_state().items() if name != "error"}
before = state()
send(lens, type="line", position=3, token_id=9)
assert "was not recorded" in lens.error and "iw.load('toy-grammar')" in lens.error
send(lens, type="run", text="the dog runs")
assert "the dog runs" in lens.error
assert state() == before, [name for name in before if before[name] != state()[name]]
send(lens, type="track", text="john")
assert lens.tracked["token"] == "john" and not lens.error
same("lens", lens.frame)
send(lens, type="run", text="the keys to the cabinet")
assert "was not recorded" in lens.error  # that one lists two tokens a cell
assert iw.Lens(model, "the keys to the cabinet", top_k=2).tokens[2] == "keys"
raises(lambda: iw.Lens(model, "the dog runs"), "Lens on 'the dog runs'")
raises(lambda: iw.Lens(model, TEXT, top_k=3), "was not recorded")
page = lens.to_html(folder + "/lens.html").read_text()
assert lens.recorded in page
""",
    "Atoms": """
atoms = iw.Atoms(model, TEXT, sae=sae)
same("atoms", atoms.frame)
atoms.select(position=3, atom=atoms_of[1])
assert list(atoms.cards) == [str(atoms_of[1])] and atoms.cards[str(atoms_of[1])]["removed"] and not atoms.error
atoms.atoms = [atoms_of[0], atoms_of[2]]  # company in which they were not recorded
assert atoms.pinned == [atoms_of[1], atoms_of[0], atoms_of[2]] == [int(atom) for atom in atoms.cards]
assert len(atoms.pinned_activation) == 3 * 4 * len(atoms.tokens)
other = next(atom for atom in range(100) if atom not in atoms_of)
atoms.atom = other
assert atoms.atom == atoms_of[1] and f"Atom {other} was not recorded" in atoms.error
atoms.select(atom=atoms_of[2])
atoms.atoms = []
send(atoms, type="find", how="effect", query="")
assert atoms.found["how"] == "effect" and not atoms.error
send(atoms, type="find", how="similar", query="")
assert "was not recorded" in atoms.error and atoms.found["how"] == "effect"
raises(lambda: iw.Atoms(model, TEXT, sae=iw.load_sae("another")), "was not recorded")
raises(lambda: sae.W_enc, "torch is not installed")
""",
    "Attention": """
attention = iw.Attention(model, TEXT)
attention.select(position=4, layer=2, head=1)
assert attention.loaded == 2 and not attention.error
same("attention", attention.frame)
assert len(attention.selection) == 5 and attention.chart.to_dict()
attention.head = [0, 0]
assert attention.loaded == 0 and attention.peaks
attention.head = [0, 2]  # of a layer that is there, but whose weights nobody asked for
assert not attention.error
raises(lambda: attention.frame, "was not recorded")
attention.head = [3, 0]
assert attention.head == [0, 2] and "was not recorded" in attention.error
""",
    "Patching": """
patching = iw.Patching(model, **PAIR)
same("patching", patching.frame)
patching.select(site="resid_post", layer=1, position=11)
assert set(patching.patch["said"]) == {"clean", "corrupt", "patched"} and not patching.error
assert len(patching.selection) == 1
patching.select(site="resid_post", layer=2, position=11)
assert patching.patch == {} and patching.cell == ["resid_post", 2, 11] and "was not recorded" in patching.error
assert len(patching.selection) == 1
send(patching, type="turn", direction="noise")
patching.metric = "probability"
assert patching.direction == "noise" and not patching.error
same("noise", patching.frame)
many = iw.PatchingPairs(model, pl.DataFrame(given["pairs"]), positions=[11])
same("pairs", many.frame)
former = many.mean
many.metric = "probability"
assert many.mean != former
many.select(position=11, layer=1)
assert len(many.dots["values"]) == 4 and not many.error
""",
    "Circuit": """
circuit = iw.Circuit(model, **given["pairs"], **given["few"])
same("circuit", circuit.frame)
node, said = given["node"], given["said"]
assert circuit.prediction["of"] == {} and circuit.mean_change == {} and circuit.prompt == "clean 0"
circuit.switches = {node: 0}
assert circuit.mean_change == said["change"] and circuit.prediction["prompt"] == "clean 0" and not circuit.error
assert circuit.prediction["of"] == {node: 0}
circuit.prompt = "corrupt 1"
assert circuit.prediction == said["corrupt"] and not circuit.error
circuit.prompt = "corrupt 2"
assert circuit.prompt == "corrupt 1" and "Prompt corrupt 2 was not recorded" in circuit.error
circuit.switches = {node: 2}
assert circuit.switches == {node: 0} and "was not recorded" in circuit.error
""",
    "the others": """
steering = iw.Steering(model, TEXT, direction=(sae, 5), strengths=[0.0, 4.0], tokens=4)
send(steering, type="strength", value=2.0)
assert steering.strength == 2.0 and not steering.error
same("steering", steering.frame)
steering.mode = "ablate"
assert steering.stale
send(steering, type="run", text=TEXT)
assert "was not recorded" in steering.error and steering.mode == "ablate"
audit = iw.Audit(model, {"some": TEXTS * 4}, sae=sae, loss_tokens=60)
same("audit", audit.frame)
assert len(audit.selection)
agreement = iw.Agreement(model, None, TEXT)
same("agreement", agreement.frame)
for name in ("load", "record", "train_sae"):
    try:
        getattr(iw, name)
    except ModuleNotFoundError as error:
        assert "iw.replay(path)" in str(error), error
    else:
        raise AssertionError(name)
""",
    "Shift": """
data = pl.read_parquet(folder + "/texts.parquet")
asked = {"site": "resid_post.2", "dictionaries": [sae], "texts": 8, "steps": 1, "draws": 1}
shift = iw.Shift(model, data, **asked)
same("shift", shift.frame)
one, two = given["nodes"]
shift.strike(two, one)  # in an order in which they were not recorded
assert shift.struck == [] and "was not recorded" in shift.error
same("shift", shift.frame)
send(shift, type="compare")
assert "compare with nothing struck out was not recorded" in shift.error.lower()
shift.strike(one)
assert not shift.error and not shift.compared and "1 atom struck out" in shift.summary
same("shift, one", shift.frame)
assert "nnsight" in shift.code() and shift.chart.to_dict() and shift.provenance["struck"] == [one]
send(shift, type="compare")
assert shift.compared and len(shift.accuracy) == 10 and not shift.error
same("shift, one compared", shift.frame)
shift.strike(two)  # after a comparison
assert shift.struck == [one, two] and not shift.compared
same("shift, two", shift.frame)
shift.run()
send(shift, type="run")
assert shift.struck == [one, two] and not shift.error
same("shift, two", shift.frame)
same("shift, two compared", shift.compare())
shift.strike("resid_post.2/0")
assert shift.struck == [one, two] and shift.compared and "was not recorded" in shift.error
shift.select(two)
assert shift.node in shift.examples
shift.spare()
assert not shift.error and [row["condition"] for row in shift.accuracy] == ["original"]
same("shift", shift.frame)
raises(lambda: shift.effects, "was not recorded")
raises(lambda: iw.Shift(model, data.head(20), **asked), "Shift on these arguments was not recorded")
assert shift.recorded in shift.to_html(folder + "/shift.html").read_text()
""",
    "Explorer": """
explorer = iw.Explorer(model, TEXT, sae=sae)
same("first", explorer.frame)
explorer.select(position=3)
explorer.view = "atoms"
same("atoms", explorer.frame)
assert explorer.atoms.positions == explorer.lens.positions == [3] and not explorer.error
explorer.atoms.positions = [5]
assert explorer.positions == explorer.lens.positions == [5]
explorer.view = "attention"
assert explorer.status["state"] == "done"
send(explorer, type="run", text="the dog runs")
assert "was not recorded" in explorer.error and explorer.text == TEXT
assert "Lens" not in explorer.to_html(folder + "/explorer.html").name
""",
}


@pytest.mark.parametrize("name", BODIES)
def test_what_was_recorded_is_shown_without_torch(recorded: Any, name: str) -> None:
    folder, given = recorded
    script = SCRIPT.format(given=json.dumps(given), folder=str(folder), stream=STREAM, body=BODIES[name])
    assert layers.fresh(script) == ""


def test_a_second_look_with_torch_computes_nothing(recorded: Any) -> None:
    """The same file where torch is: panels ask the session, and get the same bits."""
    import polars as pl

    replay = iw.replay(recorded[0] / "toy.recording")
    panel = rest(iw.Lens(replay, TEXT))
    press(panel, type="track", text="john")
    assert panel.frame.equals(pl.read_parquet(recorded[0] / "lens.parquet"), null_equal=True)


def test_the_defaults_of_an_audit_are_those_of_the_method() -> None:
    import inspect

    from interp_widgets.methods.audit_fit import Settings

    own = inspect.signature(iw.Audit.__init__).parameters
    for name in ("tokens", "loss_tokens", "batch", "seed", "outliers", "baselines", "context"):
        assert own[name].default == getattr(Settings(), name), name


def test_stopped_and_failed_work_is_no_state(tmp_path: Path) -> None:
    model = iw.load("toy-grammar")
    with iw.record(model, tmp_path / "a") as session:
        lens = rest(iw.Lens(session, TEXT))
        press_failed = iw.Lens(session, "")
        press_failed._on_message(None, {"type": "run", "text": ""}, [])
        press_failed._job.wait()
        lens._on_message(None, {"type": "track", "text": "no such word"}, [])
        assert lens.error
    [row] = iw.replay(tmp_path / "a")._file.index["panels"]
    assert (row["class"], row["about"]) == ("Lens", TEXT)
