"""A stream of windows equals reading each of them alone, whatever it is padded with."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets.errors import TextError
from interp_widgets.session import harvest
from interp_widgets.session.masking import sinks
from interp_widgets.session.session import Session

SITE = "resid_post.2"
TEXTS = ["the keys to the cabinet are on the table .", "the boy walks .", "the keys " * 100, "the"]


@pytest.fixture(scope="module")
def model() -> Session:
    return iw.load("toy-grammar")


def read(model: Session, texts: harvest.Texts, **options: int) -> list[tuple[harvest.Batch, dict[str, torch.Tensor]]]:
    def keep_all(values: harvest.Values, counts: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"x": values[SITE].cpu(), "counts": counts.cpu()}

    return list(harvest.harvest(model, texts, [SITE], keep_all, **options))


def test_every_token_of_every_text_is_in_one_window(model: Session) -> None:
    pieces: dict[int, list[tuple[int, list[int]]]] = {}
    for batch in harvest.batches(model, TEXTS, context=16, size=3):
        for window in batch.windows:
            pieces.setdefault(window.text, []).append((window.start, window.ids[batch.markers :]))
    for number, text in enumerate(TEXTS):
        whole = model.tokenizer(text, add_special_tokens=False)["input_ids"]
        joined = [i for _, part in sorted(pieces[number]) for i in part]
        assert joined == whole
        assert all(whole[start : start + len(part)] == part for start, part in pieces[number])


def test_activations_and_masks_equal_those_of_a_window_alone(model: Session) -> None:
    seen = 0
    for batch, got in read(model, TEXTS, context=16, size=3):
        for window, x, counts in zip(batch.windows, got["x"], got["counts"], strict=True):
            alone = model.read(window.ids, [SITE])[SITE].cpu()
            assert torch.allclose(x[: len(alone)], alone, atol=1e-5)
            masked = sinks(model, window.ids, alone.norm(dim=-1))
            expected = [p for p in range(len(alone)) if p >= batch.markers and p not in masked]
            assert counts.nonzero().flatten().tolist() == expected
            seen += len(expected)
    assert seen > 200


def test_an_outlier_of_the_norm_does_not_count(model: Session) -> None:
    batch = next(harvest.batches(model, [TEXTS[0], TEXTS[1]], context=16, size=2))
    x = torch.ones(2, batch.ids.shape[1], 4)
    x[0, 3] *= 6
    counted = harvest.sink_mask(model, batch.ids, x.norm(dim=-1)[None], batch.lengths)
    assert counted.nonzero().tolist() == [[0, 0], [0, 3], [1, 0]]


def test_skip_goes_on_where_the_stream_was_left(model: Session) -> None:
    whole, rest = read(model, TEXTS, context=16, size=2), read(model, TEXTS, context=16, size=2, skip=3)
    assert len(rest) == len(whole) - 3
    for (a, x), (b, y) in zip(whole[3:], rest, strict=True):
        assert a.windows == b.windows
        assert torch.equal(x["x"], y["x"])


def test_sources_take_turns(model: Session) -> None:
    stream = harvest.windows(model, {"a": ["the boy", "the girl", "the man"], "b": ["the key"]})
    assert [(w.source, w.text) for w in stream] == [("a", 0), ("b", 1), ("a", 2), ("a", 3)]


def test_a_model_without_markers_has_none() -> None:
    assert harvest.markers(iw.load("modadd-59")) == []


@pytest.mark.parametrize(
    ("texts", "context", "says"),
    [
        ("the boy", 16, "Put it in a list"),
        (["the boy"], 2, "can have 3 to"),
        (["the boy"], 10**6, "not 1000000"),
        ([[5, 10**6]], 16, "has 1000000"),
        ([["the", "boy"]], 16, "has 'the'"),
    ],
)
def test_what_cannot_be_cut_is_refused(model: Session, texts: harvest.Texts, context: int, says: str) -> None:
    with pytest.raises(TextError, match=says):
        list(harvest.windows(model, texts, context=context))
