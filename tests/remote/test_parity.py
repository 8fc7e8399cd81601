"""Every method and every panel gives the same frame on a server as here, and sends little to get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import interp_widgets as iw
from tests.remote.cases import CASES, PANELS, TEXT
from tests.remote.frames import assert_same
from tests.remote.server import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here() -> iw.Session:
    return iw.load("toy-grammar")


@pytest.fixture(scope="module")
def there(server: Server) -> Any:
    return iw.load("toy-grammar", remote=server.host)


@pytest.mark.parametrize("case", CASES)
def test_a_method_gives_the_same_frame(here: iw.Session, there: iw.Session, case: str) -> None:
    assert_same(CASES[case](there), CASES[case](here))


def test_every_method_is_asked() -> None:
    asked = {name.partition(",")[0] for name in CASES}
    needless = {"Direction", "agreement_summary", "atom_direction", "fit_probe", "null_space_directions", "context_summary",
                "circuit_edge_kinds", "change_summary", "pair_summary", "predictions", "similar_atoms"}  # fmt: skip
    assert {
        name for name in dir(iw.methods) if callable(getattr(iw.methods, name)) and name[0] != "_"
    } <= asked | needless


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_gives_the_same_frame_and_a_script_that_does(
    here: iw.Session, there: iw.Session, name: str, tmp_path: Path
) -> None:
    expected, panel = PANELS[name](here), PANELS[name](there)
    expected.run()
    panel.run()
    assert not panel.error
    assert_same(panel.frame, expected.frame)
    assert panel.provenance["weights_sha256"] is None
    assert panel.provenance["backend"] == f"NDIF at {there.host}"
    assert panel.provenance["dtype"] == "float32"
    (tmp_path / "script.py").write_text(panel.code() + f"\nframe.write_parquet({str(tmp_path / 'frame.parquet')!r})\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    script = pl.read_parquet(tmp_path / "frame.parquet")
    mine = panel.frame.select(script.columns)
    if name != "Audit":  # its script leaves the baselines and the intervals out
        keys = [column for column in mine.columns if not mine[column].dtype.is_float()]
        assert_same(script.sort(keys), mine.sort(keys).cast(script.schema), 2e-3)


def test_no_weights_are_here(there: Any) -> None:
    assert there.torch_module is None
    assert all(parameter.is_meta for parameter in there._module.parameters())
    assert there.weights_hash is None


SMOLLM2 = {
    "lens": lambda model, sae: iw.methods.logit_lens(model, "The Eiffel Tower is in the city of"),
    "attention": lambda model, sae: iw.methods.attention(model, "The Eiffel Tower is in the city of", layers=[4, 20]),
    "atoms": lambda model, sae: iw.methods.atom_activations(model, "The keys to the cabinet are on the table.", sae=sae),
    "effects": lambda model, sae: iw.methods.atom_effects(model, "The keys to the cabinet are on the table.", sae=sae),
    "patching": lambda model, sae: iw.methods.activation_patching(
        model, clean="When Mary and John went to the store, John gave a drink to", answer=" Mary", foil=" John",
        corrupt="When Mary and John went to the store, Mary gave a drink to", sites=["resid_post"], positions=[10, -1]
    ),
    "attribution": lambda model, sae: iw.methods.attribution_patching(
        model, clean="When Mary and John went to the store, John gave a drink to", answer=" Mary", foil=" John",
        corrupt="When Mary and John went to the store, Mary gave a drink to"
    ),
    "steering": lambda model, sae: iw.methods.steer(
        model, "I think that", direction=(sae, 2779), strengths=[0, 40.0], tokens=6, randoms=1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOLLM2)
def test_a_real_model_gives_the_same_frame(server: Server, models: dict[str, Path], name: str) -> None:
    here, there = _smollm2(str(models["smollm2"]), server.host)
    sae = iw.load_sae("smollm2-135m/15-resid-4096")
    assert_same(SMOLLM2[name](there, sae), SMOLLM2[name](here, sae), 5e-4)


def test_few_requests_bring_few_bytes(server: Server, models: dict[str, Path]) -> None:
    _, there = _smollm2(str(models["smollm2"]), server.host)
    text = there.encode(" ".join(["The Eiffel Tower is in the city of Paris, and"] * 5))[:50]
    there.jobs.clear()
    assert iw.methods.logit_lens(there, text)["layer"].n_unique() == 30
    [job] = there.jobs
    assert job.down < 1_000_000
    there.jobs.clear()
    frame = iw.methods.activation_patching(there, clean=text[:20], corrupt=[text[0] + 1, *text[1:20]], answer=5, foil=6)
    assert len(frame) == 30 * 20
    assert len(there.jobs) <= 9
    assert sum(job.down for job in there.jobs) < 1_000_000


_sessions: dict[str, tuple[iw.Session, Any]] = {}


def _smollm2(folder: str, host: str) -> tuple[iw.Session, Any]:
    if folder not in _sessions:
        _sessions[folder] = iw.load(folder), iw.load(folder, remote=host)
    return _sessions[folder]


def test_the_text_may_be_given_as_ids(here: iw.Session, there: iw.Session) -> None:
    ids = here.encode(TEXT)
    assert_same(iw.methods.logit_lens(there, ids), iw.methods.logit_lens(here, TEXT))
