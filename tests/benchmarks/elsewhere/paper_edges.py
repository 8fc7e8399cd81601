"""Edges by the code of the paper: `get_circuit` of github.com/saprmarks/feature-circuits as it stands, on nnsight 0.3.

    python paper_edges.py CHECKOUT ASKED FOUND

ASKED holds a Llama's folder, the prompts, and per site a dictionary, its activations and the metric's gradient. The gradients are
given, so that edges alone are timed and compared; the package of dictionaries is stood in for by the same equations.
"""

from __future__ import annotations

import resource
import sys
import time
import types

import torch

checkout, asked, found = sys.argv[1:]
torch.set_num_threads(1)
request = torch.load(asked)


class Encoder(torch.nn.Module):
    """A dictionary as that code calls one."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def encode(self, x):
        w = self.weights
        h = (x - w["b_dec"] if w["subtract"] else x) @ w["W_enc"] + w["b_enc"]
        if not w["k"]:
            return h
        top = h.topk(w["k"], dim=-1)
        return torch.zeros_like(h).scatter(-1, top.indices, top.values.relu())

    def decode(self, f):
        return f @ self.weights["W_dec"] + self.weights["b_dec"]

    def forward(self, x, output_features=False):
        f = self.encode(x)
        return (self.decode(f), f) if output_features else self.decode(f)


def stand_in(name, **attributes):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(attributes)


kinds = {name: type(name, (), {}) for name in ("AutoEncoder", "JumpReluAutoEncoder", "IdentityDict", "Dictionary")}
stand_in("dictionary_learning", **kinds)
stand_in("dictionary_learning.dictionary", **kinds)
stand_in("circuit_plotting", plot_circuit=None, plot_circuit_posaligned=None)
stand_in("data_loading_utils", load_examples=None, load_examples_nopair=None)
stand_in("dictionary_loading_utils", load_saes_and_submodules=None)
sys.path.insert(0, checkout)

import attribution  # noqa: E402
import circuit  # noqa: E402
from activation_utils import SparseAct  # noqa: E402
from loading_utils import Submodule  # noqa: E402
from nnsight import LanguageModel  # noqa: E402

model = LanguageModel(request["model"], device_map="cpu", dispatch=True, attn_implementation="eager")
layers = list(range(len(model.model.layers)))
embed = Submodule("embed", model.model.embed_tokens)
attns = [Submodule(f"attn_out.{i}", model.model.layers[i].self_attn, is_tuple=True) for i in layers]
mlps = [Submodule(f"mlp_out.{i}", model.model.layers[i].mlp) for i in layers]
resids = [Submodule(f"resid_post.{i}", model.model.layers[i], is_tuple=True) for i in layers]
dictionaries = {site: Encoder(request["dictionaries"][site.name]) for site in [embed, *attns, *mlps, *resids]}


def given(clean, patch, model, submodules, dictionaries, metric, **_):
    """In the place of `patching_effect`."""
    effects, deltas, gradients = {}, {}, {}
    for site in submodules:
        x, y, gradient = (request[part][site.name] for part in ("clean_x", "corrupt_x", "gradient"))
        sae = dictionaries[site]
        a, b = sae.encode(x), sae.encode(y)
        deltas[site] = SparseAct(act=b - a, res=(y - sae.decode(b)) - (x - sae.decode(a)))
        gradients[site] = SparseAct(act=-gradient @ sae.weights["W_dec"].T, res=-gradient)
        effects[site] = deltas[site] @ gradients[site]
    return attribution.EffectOut(effects, deltas, gradients, torch.zeros(1))


circuit.patching_effect = given
begin = time.perf_counter()
nodes, edges = circuit.get_circuit(
    torch.tensor([request["clean"]]),
    torch.tensor([request["corrupt"]]),
    model, embed, attns, mlps, resids, dictionaries, None,
    aggregation="none",
    node_threshold=request["threshold"],
)  # fmt: skip
seconds = time.perf_counter() - begin
kinds = {"attn": "attn_out", "mlp": "mlp_out", "resid": "resid_post"}


def named(node):
    """attn_0 -> attn_out.0"""
    kind, _, layer = node.partition("_")
    return f"{kinds[kind]}.{layer}" if layer else kind


out = []
for source, targets in edges.items():
    for target, weights in targets.items():
        if target != "y":
            w = weights.to_dense()
            at = w.nonzero()
            out.append((named(source), named(target), w.shape[-1] - 1, at, w[tuple(at.T)]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
torch.save({"seconds": seconds, "edges": out, "peak_mb": peak / 1024}, found)
