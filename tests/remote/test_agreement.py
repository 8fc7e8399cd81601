"""Agreement with a model on a server: the numbers of two local sessions, few bytes, and a model that is the same agrees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import interp_widgets as iw
from tests.remote.cases import TEXT
from tests.remote.server import Server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("server_first", [False, True])
def test_the_model_that_is_here_agrees_with_itself_on_the_server(server: Server, server_first: bool) -> None:
    here, there = iw.load("toy-grammar"), iw.load("toy-grammar", remote=server.host)
    frame = iw.methods.agreement(*((there, here) if server_first else (here, there)), TEXT)
    assert frame["agrees"].all()
    assert frame["total_variation"].max() < 2e-5
    assert frame["residual_difference"].max() < 1e-5
    assert frame["masked"].to_list() == [p == 0 for p in frame["position"]]


@pytest.mark.parametrize("places", ["first", "second", "both"])
def test_another_dtype_differs_as_it_does_here(server: Server, places: str) -> None:
    here, half = iw.load("toy-grammar"), iw.load("toy-grammar", dtype="bfloat16")
    there = iw.load("toy-grammar", remote=server.host)
    if places == "both":
        frame = iw.methods.agreement(there, there, TEXT)
        assert frame["agrees"].all()
        assert frame["total_variation"].max() < 1e-6
        return
    model, other, exact = (there, half, (here, half)) if places == "first" else (half, there, (half, here))
    expected = iw.methods.agreement(*exact, TEXT)
    frame = iw.methods.agreement(model, other, TEXT)
    assert frame.select("token_id", "other_token_id", "agrees").equals(
        expected.select("token_id", "other_token_id", "agrees")
    )
    apart = (frame["total_variation"] - expected["total_variation"]).abs()
    assert (apart <= 6 * frame["total_variation_error"] + 2e-5).all()
    assert (frame["residual_difference"] - expected["residual_difference"]).abs().max() < 1e-4
    assert frame["total_variation"].max() > 1e-4


def test_the_panel_says_where_they_are(server: Server) -> None:
    here, there = iw.load("toy-grammar"), iw.load("toy-grammar", remote=server.host)
    panel = iw.Agreement(here, there, TEXT)
    panel.run()
    assert panel.sides == ["toy-grammar float32, here", "toy-grammar float32, on a server"]
    assert panel.totals["share"].to_list() == [1.0, 1.0]
    assert panel.provenance["other"]["backend"] == f"NDIF at {there.host}"
    assert "remote=" in panel.code()


def test_on_smollm2_only_results_come_back(server: Server, models: dict[str, Path]) -> None:
    folder = str(models["smollm2"])
    here, there = iw.load(folder), iw.load(folder, remote=server.host)
    text = "The Eiffel Tower is in the city of Paris, and the Colosseum is in"
    frame = iw.methods.agreement(here, there, text)
    every, output = iw.methods.agreement_summary(frame).rows(named=True)
    assert (every["share"], output["share"]) == (1.0, 1.0)
    assert frame.filter(~pl.col("masked"))["total_variation"].max() < 1e-3
    [job] = there.jobs
    assert job.down < 200_000


def test_the_script_makes_the_frame(server: Server, tmp_path: Path) -> None:
    here, there = iw.load("toy-grammar"), iw.load("toy-grammar", remote=server.host)
    panel = iw.Agreement(here, there, TEXT)
    panel.run()
    (tmp_path / "script.py").write_text(panel.code() + f"\nframe.write_parquet({str(tmp_path / 'frame.parquet')!r})\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    script = pl.read_parquet(tmp_path / "frame.parquet")
    assert script.select("layer", "position", "token_id", "agrees").equals(
        panel.frame.select("layer", "position", "token_id", "agrees")
    )
    assert (script["total_variation"] - panel.frame["total_variation"]).abs().max() < 1e-4
