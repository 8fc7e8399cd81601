"""Gradients of the two objectives against dense autograd and against the paper's formulas by hand."""

from __future__ import annotations

import pytest
import torch

from interp_widgets.sae import objectives
from interp_widgets.sae.trainer import Settings, Trainer

NOBODY = torch.zeros(0, dtype=torch.long)


def weights(width: int = 24, d_in: int = 7, *, threshold: float | None = None) -> objectives.Weights:
    generator = torch.Generator().manual_seed(3)
    made = {
        "encoder": torch.randn(width, d_in, generator=generator),
        "bias": 0.3 * torch.randn(width, generator=generator),
        "decoder": torch.nn.functional.normalize(torch.randn(width, d_in, generator=generator), dim=1),
        "center": 0.2 * torch.randn(d_in, generator=generator),
    }
    if threshold is not None:
        made["threshold"] = torch.full((width,), threshold)
    return {name: tensor.double().requires_grad_() for name, tensor in made.items()}


def gradients(loss: torch.Tensor, of: objectives.Weights) -> dict[str, torch.Tensor]:
    return dict(zip(of, torch.autograd.grad(loss, list(of.values())), strict=True))


def dense_topk(w: objectives.Weights, x: torch.Tensor, k: int) -> torch.Tensor:
    """x less its reconstruction, written out with all atoms."""
    before = (x - w["center"]) @ w["encoder"].T + w["bias"]
    mask = torch.zeros_like(before).scatter(1, before.topk(k, dim=1).indices, 1)
    return x - w["center"] - (before.relu() * mask) @ w["decoder"]


def test_topk_has_the_gradients_of_dense_autograd() -> None:
    w, x = weights(), torch.randn(50, 7, dtype=torch.double)
    ours = objectives.topk(w, x, NOBODY, k=4, low=False)
    error = dense_topk(w, x, 4)
    assert torch.allclose(ours.loss, error.square().mean())
    theirs = gradients(error.square().mean(), w)
    for name, gradient in gradients(ours.loss, w).items():
        assert torch.allclose(gradient, theirs[name]), name


def test_topk_says_which_atoms_were_active_and_how_many() -> None:
    w, x = weights(), torch.randn(50, 7, dtype=torch.double)
    with torch.no_grad():
        w["bias"] -= 1.5  # so that some of the k largest are not positive
        outcome = objectives.topk(w, x, NOBODY, k=6, low=False)
        before = (x - w["center"]) @ w["encoder"].T + w["bias"]
    on = torch.zeros_like(before).scatter(1, before.topk(6, dim=1).indices, 1) * (before > 0)
    assert 0 < on.sum() < 50 * 6
    assert outcome.active == pytest.approx(on.sum().item() / 50)
    assert torch.equal(outcome.fired, on.any(0))


def test_the_auxiliary_loss_is_the_share_of_the_error_that_dead_atoms_leave_over() -> None:
    w, x = weights(), torch.randn(50, 7, dtype=torch.double)
    dead = torch.tensor([2, 5, 11, 17])
    ours = objectives.topk(w, x, dead, k=4, low=False)
    error = dense_topk(w, x, 4)
    before = (x - w["center"]) @ w["encoder"].T + w["bias"]
    chosen = dead[before[:, dead].topk(3, dim=1).indices]  # half of d_in = 7, rounded down
    mask = torch.zeros_like(before).scatter(1, chosen, 1)
    rest = error.detach() - (before.relu() * mask) @ w["decoder"]
    loss = error.square().mean() + rest.square().mean() / error.detach().square().mean() / 32
    theirs = gradients(loss, w)
    for name, gradient in gradients(ours.loss, w).items():
        assert torch.allclose(gradient, theirs[name]), name


def test_straight_through_estimators_are_those_of_the_paper() -> None:
    """Bandwidth 0.5, so the rectangle reaches from threshold - 0.25 to threshold + 0.25."""
    z = torch.tensor([[0.8, 1.1, 1.2, 3.0], [0.9, 1.3, 0.0, 1.0001]], dtype=torch.double, requires_grad=True)
    threshold = torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.double, requires_grad=True)
    up = torch.tensor([[2.0, 3.0, 5.0, 7.0], [11.0, 13.0, 17.0, 19.0]], dtype=torch.double)
    near = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 1]])

    jumped = objectives.Jump.apply(z, threshold, 0.5)
    assert torch.equal(jumped, torch.where(z > 1, z, 0.0))
    to_z, to_threshold = torch.autograd.grad(jumped, (z, threshold), up)
    assert torch.equal(to_z, up * (z > 1))
    assert torch.allclose(to_threshold, -(1.0 / 0.5) * (near * up).sum(0))

    stepped = objectives.Step.apply(z, threshold, 0.5)
    assert torch.equal(stepped, (z > 1).double())
    to_z, to_threshold = torch.autograd.grad(stepped, (z, threshold), up, allow_unused=True)
    assert to_z is None
    assert torch.allclose(to_threshold, -(near * up).sum(0) / 0.5)


def test_the_estimator_is_right_on_average() -> None:
    """For z uniform around the threshold the expected number of active atoms falls by the density of z there."""
    z = torch.rand(200_000, 1, dtype=torch.double, generator=torch.Generator().manual_seed(0)) * 4
    threshold = torch.tensor([2.0], dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(objectives.Step.apply(z, threshold, 0.2).mean(0).sum(), threshold)
    assert slope.item() == pytest.approx(-0.25, abs=0.01)


@pytest.mark.parametrize("goal", [5, 12])
def test_jumprelu_presses_towards_its_target_from_both_sides(goal: int) -> None:
    w, x = weights(threshold=0.9), torch.randn(4000, 7, dtype=torch.double)
    options = {"k": goal, "bandwidth": 0.5, "low": False}
    held = objectives.jumprelu(w, x, NOBODY, pressure=0.0, **options)
    pressed = objectives.jumprelu(w, x, NOBODY, pressure=1.0, **options)
    assert 5 < held.active < 10
    ratio = held.active / goal - 1
    assert pressed.loss.item() == pytest.approx(held.loss.item() + 0.5 * ratio.item() ** 2)
    push = gradients(pressed.loss, w)["threshold"].sum() - gradients(held.loss, w)["threshold"].sum()
    assert push * (held.active - goal) < 0  # too many active: the thresholds rise, as the gradient is walked down


def test_folding_changes_units_and_nothing_else() -> None:
    x = 40 + 3 * torch.randn(500, 16)
    for activation in ("topk", "jumprelu"):
        trainer = Trainer(Settings(64, 4, activation, 1e-3, 100, 0, False), x, "cpu")
        for _ in range(5):
            trainer.step(trainer.scaled(x[:100]), 5)
        folded, inner = trainer.folded(), trainer.scaled(x) - trainer.weights["center"]
        before = inner @ trainer.weights["encoder"].T + trainer.weights["bias"]
        raw = (x - folded["b_dec"]) @ folded["W_enc"] + folded["b_enc"]
        assert torch.allclose(raw * trainer.scale, before, atol=1e-4)
        assert torch.allclose(folded["W_dec"].norm(dim=1), torch.ones(64))
        if activation == "jumprelu":
            assert torch.equal(raw > folded["threshold"], before > trainer.weights["threshold"])


def test_directions_keep_norm_1_and_gradients_do_not_stretch_them() -> None:
    x = torch.randn(512, 16)
    trainer = Trainer(Settings(64, 4, "topk", 1e-2, 512, 0, False), x, "cpu")
    before = trainer.weights["decoder"].detach().clone()
    trainer.step(trainer.scaled(x), 10)
    decoder = trainer.weights["decoder"]
    assert torch.allclose(decoder.norm(dim=1), torch.ones(64))
    along = (decoder.grad * before).sum(1)
    assert decoder.grad.norm() > 1e-3
    assert along.abs().max() < 1e-6
