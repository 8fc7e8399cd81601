"""Attention: what its traits hold, which layers travel when, effects on demand, and every way it can fail."""

from __future__ import annotations

import json
import runpy
import sys
import threading
import types
from importlib import import_module

import numpy as np
import polars as pl
import pytest
import transformers

import interp_widgets as iw
from interp_widgets.widgets.attention import SORTS
from tests.methods.conftest import IOI, without_values
from tests.session import tiny

from .conftest import TEXT, click

SCORES = SORTS[1:]
REPEATING = "the cat saw the dog . the cat saw the dog . the cat saw the dog ."


def shares(raw: bytes, *shape: int) -> np.ndarray:
    return (np.frombuffer(raw, np.uint8).reshape(shape) / 255) ** 2


def test_the_layer_of_the_head_shown_holds_its_weights(attention, toy) -> None:
    layer, head = attention.head
    assert attention.loaded == layer
    sent = shares(attention.patterns, attention.head_count, -1)[head]
    assert sent == pytest.approx(attention.frame["weight"].to_numpy(), abs=4e-3)
    beside = attention.frame.filter(pl.col("position") > 0, pl.col("key_position") > 0)["weight"].max()
    assert np.frombuffer(attention.peaks, "<f4")[head] == pytest.approx(beside)


def test_scores_hold_the_frame_of_heads(attention) -> None:
    shape = (len(SCORES), len(attention.layers), attention.head_count)
    scores = np.frombuffer(attention.scores, "<f4").reshape(shape)
    for i, name in enumerate(SCORES):
        expected = attention.heads[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        assert scores[i].flatten() == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_another_layer_comes_without_a_forward_pass(attention, toy, monkeypatch) -> None:
    before, job = attention.patterns, attention._job
    attention.set_state({"head": [3, 1]})  # as the browser does
    assert attention.loaded == 3
    assert attention.patterns != before
    assert attention._job is job, "nothing was computed"
    assert attention.frame.select("layer", "head").unique().rows() == [(3, 1)]


def test_a_layer_that_is_not_kept_is_read_again(monkeypatch, toy) -> None:
    monkeypatch.setattr("interp_widgets.methods.attention_run.KEEP", 0)
    panel = iw.Attention(toy, IOI)
    panel.run()
    assert panel.loaded == panel.head[0]
    kept = {panel.loaded: panel.patterns}
    other = next(layer for layer in panel.layers if layer != panel.loaded)
    panel.set_state({"head": [other, 0]})
    assert panel._job.wait(10)
    assert panel.loaded == other
    whole = shares(panel.patterns, panel.head_count, -1)[0]
    assert whole == pytest.approx(panel.frame["weight"].to_numpy(), abs=4e-3)
    assert panel.patterns != kept


def test_value_weights_come_when_asked_for_and_follow_the_head(attention) -> None:
    assert attention.values == b""
    assert attention.frame["value_weight"].null_count() == len(attention.frame)
    attention.set_state({"value_weighted": True})
    assert attention._job.wait(10)
    assert attention.valued == attention.head[0]
    attention.set_state({"head": [1, 2]})
    assert attention._job.wait(10)
    assert attention.valued == 1
    top = float(np.frombuffer(attention.value_tops, "<f4")[2])
    sent = shares(attention.values, attention.head_count, -1)[2] * top
    assert sent == pytest.approx(attention.frame["value_weight"].to_numpy(), abs=4e-3 * top)
    assert attention.chart.to_dict()["encoding"]["color"]["field"] == "value_weight"


def test_a_panel_can_begin_value_weighted(toy) -> None:
    panel = iw.Attention(toy, IOI, value_weighted=True)
    panel.run()
    assert panel.valued == panel.loaded == panel.head[0]


def test_ranges_limit_the_frame_and_weights_stay_as_they_are(attention) -> None:
    whole = attention.frame
    attention.set_state({"query_range": [5, 9], "key_range": [2, 6]})
    part = attention.frame
    assert part["position"].unique().to_list() == [5, 6, 7, 8]
    assert part["key_position"].unique().sort().to_list() == [2, 3, 4, 5]
    assert part.equals(whole.filter(pl.col("position").is_in([5, 6, 7, 8]), pl.col("key_position").is_in([2, 3, 4, 5])))
    attention.query_range = [7, 99]  # no range of this text: all
    assert attention.frame["position"].max() == 14
    click(attention, "run", text=TEXT)
    attention.run()
    assert (attention.query_range, attention.key_range) == ([], [])


def test_the_exact_frame_is_read_once(attention) -> None:
    assert attention.frame is attention.frame


def test_the_effect_is_measured_on_demand(attention, toy) -> None:
    assert attention.heads["effect"].null_count() == 16
    assert attention.effect_of == ""
    click(attention, "effect", answer="mary", foil="john")
    assert attention._job.wait(30)
    assert attention.error == ""
    assert attention.heads.equals(iw.methods.head_scores(toy, IOI, answer="mary", foil="john"))
    assert attention.effect_of == "logit('mary') − logit('john')"
    assert attention.provenance["effect_of"] == attention.effect_of
    click(attention, "run", text=TEXT)
    attention.run()
    assert attention.effect_of == ""
    assert attention.heads["effect"].null_count() == 16


def test_an_empty_answer_is_what_the_model_predicts(attention) -> None:
    click(attention, "effect", answer="", foil="")
    assert attention._job.wait(30)
    assert (attention.answer, attention.foil) == ("mary", "")
    assert attention.effect_of == "the log-probability of 'mary'"


def test_an_answer_given_at_the_start_is_measured_with_the_rest(toy) -> None:
    panel = iw.Attention(toy, IOI, answer="mary", foil="john", sort="effect")
    panel.run()
    assert panel.heads["effect"].null_count() == 0
    with pytest.raises(iw.errors.TextError, match="foil needs an answer"):
        iw.Attention(toy, IOI, foil="john")


def test_a_cancelled_measurement_keeps_the_layers_that_it_has(monkeypatch, attention) -> None:
    module = import_module("interp_widgets.methods.head_scores")

    measure, reached = module.measure_effects, threading.Event()

    def slow(*arguments, progress, **named):
        def watch(done, total, message="", partial=None):
            if done >= 2 * attention.head_count:
                reached.set()
                attention.cancel()
            progress(done, total, message, partial)

        return measure(*arguments, progress=watch, **named)

    monkeypatch.setattr(module, "measure_effects", slow)
    click(attention, "effect", answer="mary")
    assert reached.wait(30)
    assert attention._job.wait(30)
    assert attention.status["state"] == "cancelled"
    assert attention.heads["effect"].null_count() == 8
    assert attention.effect_of


def test_it_begins_with_a_head_that_repeats_what_follows(toy) -> None:
    panel = iw.Attention(toy, REPEATING)
    panel.run()
    best = panel.heads.sort("induction", descending=True).row(0, named=True)
    assert panel.head == [best["layer"], best["head"]]
    panel = iw.Attention(toy, TEXT)
    panel.run()
    best = panel.heads.sort("previous_token", descending=True).row(0, named=True)
    assert panel.head == [best["layer"], best["head"]]


def test_the_head_stays_when_the_text_changes(attention) -> None:
    attention.select(layer=2, head=3)
    click(attention, "run", text=TEXT)
    attention.run()
    assert (attention.head, attention.loaded) == ([2, 3], 2)


def test_notes_say_what_the_sink_takes_and_what_induction_rests_on(attention, toy) -> None:
    first = attention.heads["first_token"].mean()
    assert attention.notes[0].startswith(f"Position 0 takes {first:.0%} of the attention")
    assert any("a mean over only" in note for note in attention.notes)
    alone = iw.Attention(toy, "the cat sleeps")
    alone.run()
    assert any("no head has an induction score" in note for note in alone.notes)


@pytest.mark.parametrize(
    "variant", ["gpt2", "gpt_neox", "llama-grouped", "qwen3", "falcon", "falcon-new", "opt", "mpt"]
)
def test_the_script_makes_the_frame_of_every_layout_of_values(variant, tmp_path, monkeypatch) -> None:
    """Fused by kind, by head, or three modules; heads that share a value; both kinds of linear module."""
    module, tokenizer = tiny.model(variant), tiny.tokenizer()
    panel = iw.Attention(iw.load(module, tokenizer=tokenizer), "w3 w4 w5 w3 w4", value_weighted=True)
    panel.run()
    panel.select(layer=1, head=3)
    given = types.ModuleType("given")
    given.module, given.tokenizer = module, tokenizer
    monkeypatch.setitem(sys.modules, "given", given)
    script = panel.code()
    assert "module, tokenizer = ..., ..." in script
    path = tmp_path / "script.py"
    path.write_text(
        script.replace("module, tokenizer = ..., ...", "from given import module, tokenizer"), encoding="utf-8"
    )
    made, expected = runpy.run_path(str(path))["frame"], panel.frame
    assert made.schema == expected.schema
    assert made.drop("weight", "value_weight").equals(expected.drop("weight", "value_weight"))
    for column in ("weight", "value_weight"):
        assert made[column].to_numpy() == pytest.approx(expected[column].to_numpy(), rel=1e-5, abs=1e-7)


# bad input


def test_a_model_whose_attention_cannot_be_read_gets_a_sentence_and_lives_on() -> None:
    model = iw.load(tiny.model("llama", attention="sdpa"), tokenizer=tiny.tokenizer())
    panel = iw.Attention(model, "w3 w4")
    with pytest.raises(iw.errors.SiteError, match="attn_implementation='eager'"):
        panel.run()
    assert "attn_implementation='eager'" in panel.error
    assert panel.status["state"] == "error"
    with pytest.raises(iw.errors.InterpError, match="eager"):
        _ = panel.frame
    model.torch_module.set_attn_implementation("eager")
    panel.run()
    assert (panel.error, panel.status["state"]) == ("", "done")


def test_a_model_whose_values_are_not_known_shows_its_plain_weights() -> None:
    panel = iw.Attention(without_values(), "w3 w4 w5")
    panel.run()
    panel.set_state({"value_weighted": True})
    assert panel._job.wait(10)
    assert "which modules make queries, keys and values" in panel.error
    assert not panel.value_weighted
    assert panel.frame.height == 6


def test_one_token_works(toy) -> None:
    model = iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer())
    panel = iw.Attention(model, "w3")
    panel.run()
    assert panel.frame["weight"].to_list() == [1.0]
    assert panel.notes == []
    assert panel.thumbnail == 1
    assert shares(panel.thumbnails, 2 * 4) == pytest.approx(1)
    click(panel, "effect", answer="w7")
    assert panel._job.wait(10)
    assert panel.heads["effect"].null_count() == 0


def test_a_text_that_is_too_long_to_show_says_what_to_do(monkeypatch, toy) -> None:
    monkeypatch.setattr("interp_widgets.panels.attention.MOST", 8)
    panel = iw.Attention(toy, IOI)
    with pytest.raises(iw.errors.TextError, match=r"has 15 tokens and this panel shows at most 8\..*by 7 tokens"):
        panel.run()


def test_a_bad_answer_is_told_before_anything_is_computed(toy, attention) -> None:
    panel = iw.Attention(toy, IOI, answer="mary john")
    with pytest.raises(iw.errors.TextError, match="The answer 'mary john' must be exactly one token"):
        panel.run()
    assert panel.tokens == []
    click(attention, "effect", answer="mary", foil="mary")
    assert attention._job.wait(10)
    assert "needs two different tokens" in attention.error
    click(attention, "effect", answer="mary john")
    assert "exactly one token" in attention.error
    empty = iw.Attention(toy)
    click(empty, "effect")
    assert "no text yet" in empty.error


def test_a_new_text_during_a_measurement_wins(toy, attention) -> None:
    with toy._lock:
        click(attention, "effect", answer="mary")
        click(attention, "run", text=TEXT)
    attention.run()
    assert attention.text == TEXT
    assert len(attention.tokens) == len(toy.encode(TEXT))
    assert attention.effect_of == ""


# bytes


def large() -> iw.Session:
    """32 layers of 32 heads, of a width that costs nothing."""
    config = transformers.LlamaConfig(
        **{**tiny.CONFIGS["llama"][1], "hidden_size": 64, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "max_position_embeddings": 128}
    )  # fmt: skip
    config._attn_implementation = "eager"
    return iw.load(transformers.LlamaForCausalLM(config).eval(), tokenizer=tiny.tokenizer())


def test_32_layers_of_32_heads_and_100_tokens_send_at_most_3_mb() -> None:
    panel = iw.Attention(large(), " ".join(f"w{3 + i % 90}" for i in range(100)))
    panel.run()
    sizes = {k: len(v) if isinstance(v, (bytes, str)) else len(json.dumps(v)) for k, v in panel.get_state().items()}
    assert (len(panel.tokens), len(panel.layers), panel.head_count) == (100, 32, 32)
    assert sizes["thumbnails"] == 32 * 32 * 300
    assert sizes["patterns"] == 32 * 5050
    assert sum(sizes.values()) < 3_000_000, sizes
    data = {name: size for name, size in sizes.items() if not name.startswith("_")}
    assert sum(data.values()) < 600_000, data
