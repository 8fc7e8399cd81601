"""The nodes of a circuit, site by site: what the pass that finds edges has to know of each."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import torch

from ... import frames
from ...errors import DictionaryError, FrameError, SiteError, TextError
from ...frames.circuits import parse_node
from ...sae.dictionary import Dictionary, Linear
from .dictionaries import Dictionaries
from .prompts import Prompts
from .reading import Piece
from .values import site_values


@dataclass(frozen=True, eq=False)
class Kept:
    """The nodes of one site that are in the circuit: `D` nodes of `A` atoms."""

    rows: torch.Tensor
    """[D]: their rows in the frame of nodes"""
    atoms: torch.Tensor
    """[A], ascending"""
    number: torch.Tensor
    """[positions, A + 1]: which of the D nodes is an atom, or in the last column the error, at a position; -1: none. One row where
    positions are summed."""

    @property
    def errors(self) -> bool:
        """Whether there is an error among them."""
        return bool((self.number[:, -1] >= 0).any())

    def numbers(self, position: torch.Tensor) -> torch.Tensor:
        """[C, A + 1]: the same at the tokens [C] at these positions."""
        return self.number[position] if len(self.number) > 1 else self.number.expand(len(position), -1)


@dataclass(frozen=True, eq=False)
class Part:
    """The nodes of one site at some tokens, as sources and as targets. `C` tokens, `A` atoms."""

    number: torch.Tensor
    """[C, A + 1]: which node; -1: none"""
    change: torch.Tensor
    """[C, A]: clean less corrupt, as far as x moves along the atom's direction"""
    error_change: torch.Tensor | None
    """[C, d]; None: errors are no nodes here"""
    linear: Linear
    """The atoms alone, without the nonlinearity: a nonlinearity only says which atoms are on."""
    weight: torch.Tensor
    """[C, A]: what the metric gains with the atom, where it is on in the clean prompt"""
    error_weight: torch.Tensor | None
    """[C, d]: what the metric gains through the error, with each entry of x"""

    @property
    def moving(self) -> torch.Tensor:
        """[C, A + 1]: which node; -1: none, or one that x does not move here."""
        atoms = self.weight != 0
        error = atoms.new_zeros(len(atoms)) if self.error_weight is None else (self.error_weight != 0).any(-1)
        return self.number.masked_fill(~torch.cat([atoms, error[:, None]], 1), -1)

    def weighted(self, x: torch.Tensor) -> torch.Tensor:
        """[C, A + 1]: each node's value times the metric's gradient there, as a function of x [C, d], up to a constant."""
        atoms = self.linear.encode(x) * self.linear.scale(x) * self.weight
        error = x.new_zeros(len(x)) if self.error_weight is None else (x * self.error_weight).sum(-1)
        return torch.cat([atoms, error[:, None]], 1)

    def effects(self, gradient: torch.Tensor) -> torch.Tensor:
        """[S, C, A + 1]: what a linear model with these gradients [S, C, d] loses as each node goes to its corrupt value."""
        atoms = (gradient @ self.linear.W_dec.T) * self.change
        error = (
            gradient.new_zeros(gradient.shape[:-1])
            if self.error_change is None
            else (gradient * self.error_change).sum(-1)
        )
        return torch.cat([atoms, error[..., None]], -1)


def kept_nodes(nodes: pl.DataFrame, dictionaries: Dictionaries, prompts: Prompts) -> dict[str, Kept]:
    """The nodes of a frame (see `frames.CIRCUIT_NODES`), by site in the order of the forward pass.

    Raises:
        FrameError: it is no frame of nodes, or names one twice. SiteError: a site without a dictionary. TextError: positions that
        the prompts do not have, or some nodes at positions and some not.
    """
    frames.check(nodes, frames.CIRCUIT_NODES)
    if nodes["node"].n_unique() < len(nodes):
        raise FrameError("The frame of nodes names a node twice. Give each node one row.")
    sites = list(dictionaries)  # asking a mapping for a site would load its dictionary
    named: dict[str, list[tuple[int, int | None, int | None]]] = {}
    for row, name in enumerate(nodes["node"]):
        node = parse_node(name)
        if node is None:
            raise FrameError(f"{name!r} is no node. A node is written site/atom@position, such as resid_post.2/122@5.")
        if node.site not in sites:
            raise SiteError(
                f"{name} is at {node.site}, which has no dictionary here. Give the dictionaries that the nodes were found with: "
                f"{', '.join(sites)} have one."
            )
        named.setdefault(node.site, []).append((row, node.atom, node.position))
    positions = [position for here in named.values() for _, _, position in here if position is not None]
    if positions and len(positions) < len(nodes):
        raise TextError("Some nodes are at a position and some are summed over positions. Give nodes of one kind.")
    if positions and max(positions) >= (prompts.length or 0):
        have = "different lengths" if prompts.length is None else f"{prompts.length} tokens"
        raise TextError(
            f"A node is at position {max(positions)}, and the prompts have {have}. Give the prompts that the nodes were found on."
        )
    rows = (prompts.length or 1) if positions else 1
    return {site: _kept(named[site], rows) for site in sites if site in named}


def _kept(here: list[tuple[int, int | None, int | None]], positions: int) -> Kept:
    atoms = sorted({atom for _, atom, _ in here if atom is not None})
    column = {atom: i for i, atom in enumerate(atoms)}
    number = torch.full((positions, len(atoms) + 1), -1)
    for i, (_, atom, position) in enumerate(here):
        number[position or 0, len(atoms) if atom is None else column[atom]] = i
    return Kept(torch.tensor([row for row, _, _ in here]), torch.tensor(atoms, dtype=torch.long), number)


def part_of(
    sae: Dictionary, kept: Kept, piece: Piece, x: torch.Tensor, y: torch.Tensor | None, gradient: torch.Tensor
) -> Part:
    """The nodes of a site at tokens x [C, d] of clean prompts and y of corrupt ones, with the metric's gradient [C, d] there.

    Raises:
        DictionaryError: a node is an atom that the dictionary does not have.
    """
    atoms = kept.atoms.to(x.device)
    if len(atoms) and int(atoms[-1]) >= sae.width:
        raise DictionaryError(
            f"There is a node of atom {int(atoms[-1])}, and {sae.name} has atoms 0 to {sae.width - 1}. Give the dictionaries that "
            "the nodes were found with."
        )
    number = kept.numbers(piece.position).to(x.device)
    values = site_values(sae, x, y)
    change = x.new_zeros(len(x), sae.width)
    change[values.token, values.atom] = values.change
    linear = _linear(sae, atoms)
    a = sae.encode(x)
    on = torch.ones_like(a) if isinstance(sae, Linear) else (a != 0).to(a)
    known = (number[:, :-1] >= 0).to(a)
    weight = (gradient @ linear.W_dec.T) * on[:, atoms] * known
    error_weight = _error_weight(sae, x, gradient) * (number[:, -1:] >= 0) if kept.errors else None
    return Part(number, change[:, atoms] * known, values.error if kept.errors else None, linear, weight, error_weight)


def _error_weight(sae: Dictionary, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """[C, d]: the gradient of (what of x no atom gives) . `gradient`, atoms moving with x."""
    slope = gradient @ sae.W_dec.T
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        given = (sae.encode(x) * sae.scale(x) * slope).sum()
    return gradient - torch.autograd.grad(given, x)[0]


def _linear(sae: Dictionary, atoms: torch.Tensor) -> Linear:
    """Some atoms of a dictionary, before the nonlinearity."""
    return Linear(
        name=sae.name,
        site=sae.site,
        W_enc=sae.W_enc[:, atoms],
        b_enc=sae.b_enc[atoms],
        W_dec=sae.W_dec[atoms],
        b_dec=sae.b_dec,
        subtract=sae.subtract,
        norm=sae.norm,
    )
