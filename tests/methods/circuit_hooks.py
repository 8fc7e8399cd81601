"""Circuits the plain way: hooks on modules, one prompt, token and node at a time; and nodes with made-up effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import polars as pl
import torch

import interp_widgets as iw
from interp_widgets import frames
from interp_widgets.frames.circuits import Node
from interp_widgets.sae import JumpReLU, ReLU, TopK
from interp_widgets.sae.dictionary import Dictionary

CLEAN = [[1, 5, 6, 7, 8], [1, 9, 10, 11, 12], [1, 13, 6, 11, 8]]
CORRUPT = [[1, 15, 6, 7, 8], [1, 19, 10, 11, 12], [1, 23, 6, 11, 8]]
PAIRS: dict[str, Any] = {
    "clean": CLEAN,
    "corrupt": CORRUPT,
    "answer": [[20], [21, 22], [23]],
    "foil": [[30], [31], [32]],
}
FAMILIES = {
    "llama": ["embed", "attn_out.0", "mlp_act.0", "resid_post.0", "attn_out.1", "mlp_out.1", "resid_post.1"],
    "gpt2": ["attn_out.0", "mlp_out.0", "resid_post.0", "attn_out.1", "resid_post.1"],
}
MODULES = {
    "llama": {"embed": "model.embed_tokens", "attn_out": "model.layers.{}.self_attn", "mlp_out": "model.layers.{}.mlp",
              "mlp_act": "model.layers.{}.mlp.down_proj", "resid_post": "model.layers.{}"},
    "gpt2": {"attn_out": "transformer.h.{}.attn", "mlp_out": "transformer.h.{}.mlp", "resid_post": "transformer.h.{}"},
}  # fmt: skip
Change = Callable[[torch.Tensor], torch.Tensor]


def some_dictionaries(model: iw.Session, sites: Sequence[str]) -> dict[str, Dictionary]:
    """Random ones of every kind in turn, with and without norms."""
    made: dict[str, Dictionary] = {}
    for number, site in enumerate(sites):
        torch.manual_seed(number)
        size, width = model.size(site), 7 + number
        weights: dict[str, Any] = {
            "name": site, "site": site, "W_enc": torch.randn(size, width) / size**0.5, "b_enc": 0.1 * torch.randn(width),
            "W_dec": torch.randn(width, size) / size**0.5, "b_dec": 0.1 * torch.randn(size),
            "norm": ("", "layer_norm", "unit_rms", "center", "")[number % 5],
        }  # fmt: skip
        kind = number % 3
        made[site] = (
            TopK(**weights, k=3)
            if kind == 0
            else ReLU(**weights)
            if kind == 1
            else JumpReLU(**weights, threshold=0.2 * torch.rand(width))
        )
    return made


def node_frame(names: Sequence[Node], effects: Sequence[float]) -> pl.DataFrame:
    """Nodes with made-up effects, the largest first."""
    columns: dict[str, Any] = {
        "node": [str(node) for node in names],
        "site": [node.site for node in names],
        "layer": [None if "." not in node.site else int(node.site.split(".")[1]) for node in names],
        "position": [node.position for node in names],
        "token": [None] * len(names),
        "kind": ["error" if node.atom is None else "atom" for node in names],
        "atom": [node.atom for node in names],
        **{name: [0.0] * len(names) for name in ("activation", "corrupt_activation")},
        "effect": list(effects),
        **{name: [None] * len(names) for name in ("low", "high")},
        "prompts": [3] * len(names),
        "method": ["exact"] * len(names),
    }
    return frames.build(frames.CIRCUIT_NODES, columns).sort(pl.col("effect").abs(), descending=True)


def all_nodes(saes: Mapping[str, Dictionary], positions: Sequence[int | None] = (None,)) -> list[Node]:
    units = {site: [*range(sae.width), None] for site, sae in saes.items()}
    return [Node(site, unit, position) for site in saes for unit in units[site] for position in positions]


def random_nodes(saes: Mapping[str, Dictionary], positions: Sequence[int | None] = (None,)) -> pl.DataFrame:
    found = all_nodes(saes, positions)
    return node_frame(found, torch.randn(len(found), generator=torch.Generator().manual_seed(0)).tolist())


def hooked(model: iw.Session, ids: Sequence[int], family: str, change: Mapping[str, Change]) -> torch.Tensor:
    """The last logits of a prompt; `change` sees each activation [T, d] of its site and returns another."""
    with ExitStack() as stack:
        for site, function in change.items():
            kind, _, layer = site.partition(".")
            module = model.torch_module.get_submodule(MODULES[family][kind].format(layer))

            def before(_: Any, given: Any, function: Change = function) -> Any:
                return (function(given[0][0])[None], *given[1:])

            def after(_: Any, __: Any, out: Any, function: Change = function) -> Any:
                return (function(out[0][0])[None], *out[1:]) if isinstance(out, tuple) else function(out[0])[None]

            handle = (
                module.register_forward_pre_hook(before) if kind == "mlp_act" else module.register_forward_hook(after)
            )
            stack.callback(handle.remove)
        with torch.no_grad():
            return model.torch_module(torch.tensor([list(ids)])).logits[0, -1].double()


def parts(sae: Dictionary, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one token [d]: what each atom adds [width, d], and the rest [d]."""
    x = x[None]
    adds = (sae.encode(x) * sae.scale(x))[0, :, None] * sae.W_dec
    return adds, x[0] - adds.sum(0)


def activations(model: iw.Session, ids: Sequence[int], family: str, sites: Sequence[str]) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}

    def see(site: str) -> Change:
        def note(x: torch.Tensor) -> torch.Tensor:
            seen[site] = x.clone()
            return x

        return note

    hooked(model, ids, family, {site: see(site) for site in sites})
    return seen


def by_hand(
    model: iw.Session,
    family: str,
    saes: Mapping[str, Dictionary],
    is_kept: Callable[[Node], bool],
    *,
    clean: Sequence[Sequence[int]] = CLEAN,
    sources: Sequence[Sequence[int]] | None = CORRUPT,
) -> list[float]:
    """The metric of each prompt with every node outside at its mean over `sources`: a node is asked with its position."""
    means: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    found = [activations(model, ids, family, list(saes)) for ids in sources or clean]
    for site, sae in saes.items():
        for position in range(len(clean[0])):
            each = [parts(sae, values[site][position]) for values in found]
            mean = tuple(torch.stack(several).mean(0) for several in zip(*each, strict=True))
            if sources is None:
                bias = torch.stack([sae.bias(values[site][position][None])[0] for values in found]).mean(0)
                mean = (torch.zeros_like(mean[0]), bias)
            means.setdefault(site, []).append(mean)

    def altered(site: str) -> Change:
        def change(x: torch.Tensor) -> torch.Tensor:
            y = x.clone()
            for position in range(1, len(x)):  # 0 is the marker <s>
                adds, rest = parts(saes[site], x[position])
                mean_adds, mean_rest = means[site][position]
                for atom in range(len(adds)):
                    if not is_kept(Node(site, atom, position)):
                        adds[atom] = mean_adds[atom]
                y[position] = adds.sum(0) + (rest if is_kept(Node(site, None, position)) else mean_rest)
            return y

        return change

    metrics = []
    for ids, answer, foil in zip(clean, PAIRS["answer"], PAIRS["foil"], strict=False):
        logits = hooked(model, ids, family, {site: altered(site) for site in saes})
        metrics.append(float(logits[answer].mean() - logits[foil].mean()))
    return metrics


def mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def membership(nodes: pl.DataFrame, size: int, errors: str, inside: bool) -> Callable[[Node], bool]:
    """Whether a node with its position is kept in the circuit of the first `size` nodes, or in all that is not in it."""
    counted = nodes.filter(pl.lit(errors == "nodes") | (pl.col("kind") == "atom"))
    names = set(counted["node"][:size])

    def is_kept(node: Node) -> bool:
        if node.atom is None and errors != "nodes":
            return errors == "kept"
        return (str(node) in names or str(node._replace(position=None)) in names) == inside

    return is_kept
