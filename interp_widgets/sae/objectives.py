"""What training makes small: TopK and JumpReLU dictionaries in scaled units, where the loss is the share of variance left over.

Shapes: x [batch, d_in]; encoder and decoder [width, d_in]; bias and threshold [width]; center [d_in].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn.functional import embedding_bag, huber_loss

Weights = dict[str, torch.Tensor]
"""encoder, bias, decoder, center; threshold too for JumpReLU."""

AUX_WEIGHT = 1 / 32
"""Weight of the auxiliary loss on dead atoms: Gao et al., appendix A.2."""

SPARSITY_WEIGHT = 1.0
"""Weight of JumpReLU's penalty: at twice the target it costs as much as half of the variance."""


class Outcome(NamedTuple):
    """What one step is about."""

    loss: torch.Tensor
    """What is differentiated: the share of variance left over, and the penalties."""
    left_over: torch.Tensor
    """Squared error over the variance of x, 1 for a dictionary that says nothing but the mean."""
    fired: torch.Tensor
    """[width], whether the atom was active on any of x"""
    active: torch.Tensor
    """Mean number of active atoms on one activation."""


def topk(weights: Weights, x: torch.Tensor, dead: torch.Tensor, *, k: int, low: bool) -> Outcome:
    """Gao et al. (arXiv:2406.04093): the k largest pre-activations, and an auxiliary loss (AuxK) on dead atoms.

    `dead`: indices of the atoms that have not been active for long. `low`: whether the encoder's product is made in bfloat16.
    """
    inner = x - weights["center"]
    with torch.no_grad():
        before = product(inner, weights["encoder"], low) + weights["bias"]
        index = before.topk(k, dim=1, sorted=False).indices
    error = inner - _sparse(weights, before, index, inner)
    left_over = error.square().mean()
    loss = left_over
    if len(dead):
        loss = loss + AUX_WEIGHT * _aux(weights, before, inner, error.detach(), dead)
    on = before.gather(1, index) > 0
    fired = torch.zeros_like(weights["bias"], dtype=torch.bool)
    fired[index[on]] = True
    return Outcome(loss, left_over.detach(), fired, on.sum() / len(x))


def jumprelu(
    weights: Weights, x: torch.Tensor, dead: torch.Tensor, *, k: int, bandwidth: float, pressure: float, low: bool
) -> Outcome:
    """Rajamanoharan et al. (arXiv:2407.14435): a threshold per atom, trained with straight-through estimators.

    The penalty is on the ratio of the batch's mean number of active atoms to `k`: quadratic around 1 (their appendix on a target
    L0), linear from twice the target on, so that a dense start does not drown the reconstruction. `pressure`: 0 to 1, its warm-up.
    """
    inner = x - weights["center"]
    before = product(inner, weights["encoder"], low) + weights["bias"]
    values = Jump.apply(before, weights["threshold"], bandwidth)
    error = inner - product(values, weights["decoder"].T, low)
    left_over = error.square().mean()
    active = Step.apply(before, weights["threshold"], bandwidth).sum() / len(x)
    loss = left_over + SPARSITY_WEIGHT * pressure * huber_loss(active / k, torch.ones_like(active))
    if len(dead):
        loss = loss + AUX_WEIGHT * _aux(weights, before.detach(), inner, error.detach(), dead)
    return Outcome(loss, left_over.detach(), (values.detach() > 0).any(0), active.detach())


def product(a: torch.Tensor, b: torch.Tensor, low: bool) -> torch.Tensor:
    """a @ b.T; where `low`, of both rounded to bfloat16, which processors with instructions for it do twice as fast."""
    return (a.bfloat16() @ b.bfloat16().T).float() if low else a @ b.T


def _aux(
    weights: Weights, before: torch.Tensor, inner: torch.Tensor, error: torch.Tensor, dead: torch.Tensor
) -> torch.Tensor:
    """AuxK: how much of the error the dead atoms nearest to being active leave over, as a share of it."""
    count = min(len(dead), inner.shape[1] // 2)
    index = dead[before[:, dead].topk(count, dim=1, sorted=False).indices]
    rest = error - _sparse(weights, before, index, inner)
    return rest.square().mean() / error.square().mean().clamp(min=1e-12)


def _sparse(weights: Weights, before: torch.Tensor, index: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
    """relu(before) of the atoms `index` [batch, n] alone, times their directions: [batch, d_in]."""
    return _Sparse.apply(before, index, inner, weights["encoder"], weights["bias"], weights["decoder"])


class _Sparse(torch.autograd.Function):
    """Of before = inner @ encoder.T + bias, made without a graph, only the entries `index` are used, so only they get gradients.

    All products are sums of few rows, which `embedding_bag` makes without writing out the rows.
    """

    @staticmethod
    def forward(
        ctx: Any,
        before: torch.Tensor,
        index: torch.Tensor,
        inner: torch.Tensor,
        encoder: torch.Tensor,
        bias: torch.Tensor,
        decoder: torch.Tensor,
    ) -> torch.Tensor:
        values = before.gather(1, index).relu()
        ctx.save_for_backward(values, index, inner, encoder, decoder)
        return embedding_bag(index, decoder, per_sample_weights=values, mode="sum")

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        values, index, inner, encoder, decoder = ctx.saved_tensors
        with torch.enable_grad():  # the products of each row of `grad` with the directions that made it
            inputs = values.detach().requires_grad_()
            made = embedding_bag(index, decoder.detach(), per_sample_weights=inputs, mode="sum")
            (to_values,) = torch.autograd.grad(made, inputs, grad)
        to_values = to_values * (values > 0)
        # By atom, so that the gradient of each atom is one bag: of rows of `inner` and of `grad`.
        flat = index.flatten()
        order = flat.argsort()
        rows, counts = order // index.shape[1], torch.bincount(flat, minlength=len(encoder))
        bags = {"offsets": counts.cumsum(0) - counts, "mode": "sum"}
        to_encoder = embedding_bag(rows, inner, per_sample_weights=to_values.flatten()[order], **bags)
        to_decoder = embedding_bag(rows, grad, per_sample_weights=values.flatten()[order], **bags)
        to_bias = torch.zeros_like(encoder[:, 0]).index_add_(0, flat, to_values.flatten())
        to_inner = embedding_bag(index, encoder, per_sample_weights=to_values, mode="sum")
        return None, None, to_inner, to_encoder, to_bias, to_decoder


class Step(torch.autograd.Function):
    """H(z - threshold). Its pseudo-derivative by the threshold is -K((z - threshold) / bandwidth) / bandwidth, K a rectangle
    of width 1; by z it is 0. Rajamanoharan et al., equation 12.
    """

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return (z > threshold).to(z)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.bandwidth / 2).to(z)
        return None, -(near * grad).sum(0) / ctx.bandwidth, None


class Jump(torch.autograd.Function):
    """z where z > threshold, else 0. Its pseudo-derivative by the threshold is -(threshold / bandwidth) K((z - threshold) /
    bandwidth); by z it is H(z - threshold). Rajamanoharan et al., equation 11.
    """

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, threshold: torch.Tensor, bandwidth: float) -> torch.Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.bandwidth / 2).to(z)
        to_threshold = -(near * grad).sum(0) * threshold / ctx.bandwidth
        return grad * (z > threshold), to_threshold, None
