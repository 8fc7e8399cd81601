"""Probes and numbers of directions: planted concepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp_widgets import frames, methods
from interp_widgets.errors import SiteError, TextError
from interp_widgets.methods.probes import fit_probe, null_space_directions, wilson


def noise(n: int = 600, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_a_concept_of_one_direction_is_read_from_one() -> None:
    x = noise()
    direction = torch.nn.functional.normalize(noise(1, 12, 1)[0], dim=0)
    labels = noise(1, 600, 2)[0] > 0
    x = x - torch.outer(x @ direction, direction) + torch.outer(6.0 * labels, direction)
    directions, frame = null_space_directions(x, labels, k=4, l2=1e-3)
    frames.check(frame, frames.CONCEPT_DIRECTIONS)
    assert frame["accuracy"][0] == 1
    assert (frame["accuracy"][1:] < 0.62).all(), "nothing is left once it is removed"
    assert (frame["joint"] == 1).all()
    assert abs(float(directions[0] @ direction)) > 0.98
    torch.testing.assert_close(directions @ directions.T, torch.eye(4), atol=1e-4, rtol=0)


def test_one_of_two_but_not_both_is_read_from_none() -> None:
    x = noise(1200)
    labels = (x[:, 3] > 0) ^ (x[:, 7] > 0)
    _, frame = null_space_directions(x, labels, k=3)
    assert ((frame["accuracy"] - 0.5).abs() < 0.08).all()
    assert ((frame["joint"] - 0.5).abs() < 0.08).all()
    assert (frame["low"] < 0.5).all()
    corners = torch.stack([x[:, 3], x[:, 7], x[:, 3] * x[:, 7]], 1)
    assert null_space_directions(corners, labels, k=1)[1]["accuracy"][0] > 0.95, "one more coordinate makes it linear"


def test_a_concept_written_twice_is_read_from_each() -> None:
    """Two copies along orthogonal directions: with one removed the other still tells."""
    labels = noise(1, 600, 2)[0] > 0
    x = noise()
    x[:, 0] = 3.0 * labels + 0.6 * noise(1, 600, 3)[0]
    x[:, 1] = 3.0 * labels + 0.6 * noise(1, 600, 4)[0]
    _, frame = null_space_directions(x, labels, k=3)
    assert frame["accuracy"][0] > 0.98
    assert frame["accuracy"][2] < 0.65


def test_the_probe_minimises_its_loss() -> None:
    """The gradient, written out in NumPy, is zero at the weights found; and the loss is convex."""
    x, y = noise(80, 5), (noise(1, 80, 1)[0] > 0).float()
    w, b = fit_probe(x, y, l2=0.01)
    center = x.double().numpy().mean(0)
    z = x.double().numpy() - center
    scale = np.sqrt((z**2).sum(1).mean())
    scaled, target = z / scale, y.numpy()
    weights, bias = w.double().numpy() * scale, float(b) + center @ w.double().numpy()
    p = 1 / (1 + np.exp(-(scaled @ weights + bias)))
    assert np.abs(scaled.T @ (p - target) / 80 + 0.01 * weights).max() < 1e-6
    assert abs((p - target).mean()) < 1e-6


def test_wilson_against_known_values() -> None:
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_singular_and_plural_in_the_model(toy) -> None:
    nouns = ["key", "box", "cat", "dog", "house", "garden", "picture", "table", "doctor", "teacher", "book", "friend"]
    texts = [f"the {n}" for n in nouns] + [f"the {n}s" for n in nouns if n not in ("box",)]
    labels = [False] * 12 + [True] * 11
    frame = methods.concept_directions(toy, texts, labels, site="resid_post.2", k=2)
    assert frame["accuracy"][0] > 0.8
    assert frame["n"][0] == 7


def test_what_cannot_be_probed_gets_a_sentence(toy) -> None:
    with pytest.raises(TextError, match="10 examples and 9 labels"):
        null_space_directions(noise(10), torch.ones(9))
    with pytest.raises(TextError, match="4 examples or more"):
        null_space_directions(noise(10), torch.tensor([True] * 3 + [False] * 7))
    with pytest.raises(TextError, match="1 to 12"):
        null_space_directions(noise(10), torch.tensor([True, False] * 5), k=13)
    with pytest.raises(SiteError, match="no vector"):
        methods.concept_directions(toy, ["the cat", "the dog"], [True, False], site="pattern.1")
    with pytest.raises(TextError, match="no texts"):
        methods.concept_directions(toy, [], [], site="resid_post.2")
