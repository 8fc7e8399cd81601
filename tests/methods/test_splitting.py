"""Splitting: planted sets are found."""

from __future__ import annotations

import pytest
import torch

import interp_widgets as iw
from interp_widgets import frames, methods
from interp_widgets.errors import DictionaryError, TextError
from interp_widgets.sae import ReLU
from interp_widgets.session.harvest import harvest

SITE = "resid_post.2"
TEXTS = [
    f"the {n} to the {m} {v} on the table ."
    for n, v in [("keys", "are"), ("key", "is")]
    for m in ("cabinet", "house", "boxes")
]


def dictionary(name: str, encoder: torch.Tensor, decoder: torch.Tensor, bias: torch.Tensor | None = None) -> ReLU:
    return ReLU(
        name,
        SITE,
        encoder.T.contiguous(),
        torch.zeros(len(encoder)) if bias is None else bias,
        decoder,
        torch.zeros(128),
    )


def planted(toy) -> tuple[ReLU, ReLU, torch.Tensor]:
    """One atom; a wider dictionary with an atom for its weak and one for its strong half, and 40 that never fire."""
    x = torch.cat([kept for _, kept in harvest(toy, TEXTS, [SITE], lambda v, c: v[SITE][c])])
    d = torch.nn.functional.normalize((x - x.mean(0))[3], dim=0)
    generator = torch.Generator().manual_seed(0)
    step = torch.nn.functional.normalize(torch.randn(40, 128, generator=generator), dim=1)
    height = (x @ d).clamp(min=0)
    cut = 0.6 * height.max()
    small = dictionary("small", d[None], d[None])
    encoder = torch.cat([d[None], d[None], step])
    decoder = torch.cat([d[None], (d + 0.2 * step[0])[None], step])
    wide = dictionary("wide", encoder, decoder, torch.cat([torch.tensor([0.0, -float(cut)]), torch.full((40,), -1e6)]))
    return small, wide, height


def test_the_same_dictionary_has_each_atom_itself(toy, toy_sae) -> None:
    frame = methods.splitting(toy_sae, toy_sae, top=1)
    frames.check(frame, frames.SPLITTING)
    assert len(frame) == 16
    assert (frame["atom"] == frame["wider_atom"]).all()
    assert frame["cosine"].to_list() == pytest.approx([1.0] * 16, abs=1e-5)
    assert frame["together"].null_count() == 16


def test_activations_of_the_same_atom_explain_all(toy, toy_sae) -> None:
    atom = int(toy_sae.encode(toy.read(TEXTS[0], [SITE])[SITE][5]).argmax())
    frame = methods.splitting(toy_sae, toy_sae, atoms=[atom], top=2, model=toy, texts=TEXTS)
    assert frame["wider_atom"][0] == atom
    assert frame["explained"].to_list() == pytest.approx([1.0, 1.0], abs=1e-6)
    assert (frame["together"][0], frame["back"][0]) == (1.0, 1.0)


def test_numbers_of_a_planted_set_are_those_written_out(toy) -> None:
    small, wide, height = planted(toy)
    frame = methods.splitting(small, wide, atoms=[0], top=2, model=toy, texts=TEXTS)
    assert frame["wider_atom"].to_list()[0] == 0
    assert frame["explained"][0] == pytest.approx(1, abs=1e-6)
    first = frame.row(0, named=True)
    assert first["n"] == int((height > 0).sum())
    only = ReLU("only", SITE, wide.W_enc[:, 1:], wide.b_enc[1:], wide.W_dec[1:], wide.b_dec)
    frame = methods.splitting(small, only, atoms=[0], top=1, model=toy, texts=TEXTS)
    row = frame.row(0, named=True)
    strong = (height + wide.b_enc[1]).clamp(min=0)
    assert row["wider_atom"] == 0
    assert row["cosine"] == pytest.approx(
        float(torch.cosine_similarity(small.W_dec[0], only.W_dec[0], dim=0)), abs=1e-5
    )
    assert row["together"] == pytest.approx(float((strong > 0).sum() / (height > 0).sum()))
    assert row["back"] == 1
    expected = torch.corrcoef(torch.stack([height.double(), strong.double()]))[0, 1] ** 2
    assert row["explained"] == pytest.approx(float(expected), abs=1e-5)


def test_a_set_of_two_explains_what_neither_does(toy) -> None:
    """The atom is the sum of two that fire apart; the greedy set finds both."""
    x = torch.cat([kept for _, kept in harvest(toy, TEXTS, [SITE], lambda v, c: v[SITE][c])])
    u = torch.nn.functional.normalize(x[2] - x.mean(0), dim=0)
    relu_pair = torch.stack([u, -u])
    small = dictionary("small", u[None], u[None], torch.tensor([50.0]))  # always on: 50 + u.x
    wide = dictionary("wide", relu_pair, relu_pair)
    wide = ReLU("wide", SITE, wide.W_enc, wide.b_enc, torch.stack([u, u]), wide.b_dec)
    frame = methods.splitting(small, wide, atoms=[0], top=2, model=toy, texts=TEXTS)
    assert frame["explained"][0] < 1 - 1e-6
    assert frame["explained"][1] == pytest.approx(1, abs=1e-6)


def test_what_cannot_be_compared_gets_a_sentence(toy, toy_sae) -> None:
    other = iw.load_sae("toy-grammar/resid_post.1")
    with pytest.raises(DictionaryError, match="two dictionaries of one site"):
        methods.splitting(toy_sae, other)
    with pytest.raises(TextError, match="Give both"):
        methods.splitting(toy_sae, toy_sae, model=toy)
    with pytest.raises(DictionaryError, match="atoms 0 to 383"):
        methods.splitting(toy_sae, toy_sae, atoms=[384])
    with pytest.raises(TextError, match="no texts"):
        methods.splitting(toy_sae, toy_sae, atoms=[1], model=toy, texts=[])
