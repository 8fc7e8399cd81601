"""A model where it runs: forward passes whose activations are read, changed and reduced as they go by.

A runner knows no text and no frame, only token ids and tensors, and needs nothing that a server of models lacks. So it is the
part of a session that can be sent to one (see `remote`), and all that a method may use of its model in work that travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch

from ..errors import SiteError, TextError
from .architectures import Architecture
from .cache import kept_by
from .layout import Layout
from .places import envoy, place
from .sites import LAYER_KINDS, Site, parse
from .trace import Edit, Step, forward

T = TypeVar("T")
Then = Callable[[dict[str, torch.Tensor]], Any]


class Runner:
    """A model with a name for every activation. Base of `Session`, and what stands in for one on a server."""

    def __init__(
        self,
        model: Any,
        architecture: Architecture,
        name: str,
        special_ids: frozenset[int],
        sink: bool = False,
    ) -> None:
        self._model = model
        self._module: Any = model._module
        self._lock: Any = nullcontext()  # a server takes one request at a time
        self.architecture = architecture
        self.name = name
        self.special_ids = special_ids
        """Tokens that are markers such as <s>, not text."""
        self.sink = sink
        """Position 0 is known to be an attention sink, even in a text too short to show it."""
        config = self._module.config.get_text_config()
        self.num_layers: int = config.num_hidden_layers
        self.num_heads: int = config.num_attention_heads
        self.layout = Layout(self._module, architecture, self.num_heads)
        self.width: int = config.hidden_size
        self.vocabulary_size: int = config.vocab_size
        self.max_positions: int | None = getattr(config, "max_position_embeddings", None) or getattr(
            config, "max_seq_len", None
        )
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)

    # what the model is

    @property
    def window(self) -> int | None:
        """How many positions a token sees where every layer has the same sliding window; None: all, or layers differ."""
        config = self._module.config
        types = set(getattr(config, "layer_types", None) or ["sliding_attention"])
        return getattr(config, "sliding_window", None) if types == {"sliding_attention"} else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._module.parameters()).device

    @property
    def torch_dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self._module.parameters()).dtype

    @property
    def dtype(self) -> str:
        """Type of the weights, by name: "float32"."""
        return str(self.torch_dtype).removeprefix("torch.")

    @property
    def num_kv_heads(self) -> int:
        """Heads with a key and a value of their own: fewer than `num_heads` where several heads share one."""
        return self.layout.kv_heads

    @property
    def head_width(self) -> int:
        return self.layout.head_width

    @property
    def takes_cache(self) -> bool:
        """Whether a forward pass can go on from kept keys and values."""
        return kept_by(self._module)

    def is_special(self, token_id: int) -> bool:
        """Whether a token is a marker such as <s>, not text."""
        return token_id in self.special_ids

    def encode(self, ids: Sequence[int]) -> list[int]:
        """Token ids, checked: some, not more than the model can read, all in the vocabulary.

        Raises:
            TextError: they are not; says how.
        """
        ids = [int(i) for i in ids]
        if not ids:
            raise TextError("The text is empty, so there is nothing to read. Type at least one character.")
        if self.max_positions and len(ids) > self.max_positions:
            raise TextError(
                f"The text has {len(ids)} tokens and {self.name} reads at most {self.max_positions}. "
                f"Shorten it by {len(ids) - self.max_positions} tokens."
            )
        if bad := [i for i in ids if not 0 <= i < self.vocabulary_size]:
            raise TextError(f"Token id {bad[0]} does not exist; {self.name} has ids 0 to {self.vocabulary_size - 1}.")
        return ids

    # sites

    def site(self, name: str | Site) -> Site:
        """The site that a name means in this model, in any accepted spelling.

        Raises:
            SiteError: not a site, a layer, head or neuron that does not exist, or one that this architecture does not have.
        """
        site = parse(name, self.architecture)
        if site.layer is not None and not 0 <= site.layer < self.num_layers:
            raise SiteError(f"{site} does not exist: {self.name} has layers 0 to {self.num_layers - 1}.")
        if site.layer is not None and site.kind not in self.architecture.taps:
            why = {
                "resid_mid": "attention and MLP read the same stream side by side. Use resid_pre or resid_post.",
                "mlp_in": "its architecture does not say what its MLP reads. Name it: iw.Architecture(mlp_in=...).",
            }.get(
                site.kind,
                "its architecture does not say which modules make queries, keys and values. Name them: "
                "iw.Architecture(qkv=...).",
            )
            raise SiteError(f"{self.name} has no {site.kind}: {why}")
        if site.unit is not None:
            count, what = self.layout.units(site.kind)
            if not 0 <= site.unit < count:
                raise SiteError(
                    f"{site} does not exist: {self.name} has {count} {what if count > 1 else what[:-1]} a layer, "
                    "counted from 0."
                )
        return site

    def size(self, name: str | Site) -> int:
        """How many numbers a site has at each token: those of all heads or neurons together, or of the one that it names.

        Raises:
            SiteError: not a site of this model, or `pattern`, which has one number for each earlier token.
        """
        site = self.site(name)
        if site.kind == "pattern":
            raise SiteError(f"{site} has no size of its own: each head has a number for every token that it can see.")
        if site.kind == "logits":
            return self.vocabulary_size
        columns = self.layout.columns(site)
        if columns is not None:
            return columns.numel()
        return self.layout.neurons if site.kind == "mlp_act" else self.width

    def sites(self) -> list[str]:
        """All sites of this model in the order of the forward pass.

        `q.L`, `k.L`, `v.L` and `head_out.L` also take a head, as in `head_out.L.H`, and `mlp_act.L` a neuron.
        """
        kinds = [k for k in LAYER_KINDS if k in self.architecture.taps]
        inner = [str(Site(k, layer)) for layer in range(self.num_layers) for k in kinds]
        return ["embed", *inner, "final_norm", "logits"]

    # running

    def work(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """`function(model, *args, **more)` where the model is: here a plain call, for a model on a server one request.

        Work that travels uses torch, this class and functions of this package, gives back tensors and plain values, and counts on
        nothing that it changes in its arguments.
        """
        return function(self, *args, **more)

    def run(
        self,
        ids: Sequence[Sequence[int]],
        read: Iterable[str | Site] = (),
        *,
        edit: Mapping[str, Edit] | None = None,
        then: Then | None = None,
        start: tuple[int, torch.Tensor] | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        inputs: Mapping[str, Any] | None = None,
        grad: bool = False,
    ) -> Any:
        """One forward pass over a batch of equally long prompts.

        Args:
            ids: token ids, [batch][tokens].
            read: sites to read, each a tensor [batch, tokens, ...].
            edit: per site a function from its activation to a new one of the same shape, called as the pass goes by. A layer's
                output may be given more rows: the batch then goes on with these.
            then: reduces the dict of what was read, inside the trace; what it returns comes back. Default: the dict.
                It may call `unembed`.
            start: `(layer, stream)`: do not run the layers below, let `layer` read `stream` [batch, tokens, width].
            logits_to_keep: how many positions from the end, or which, get logits; 0 is all.
            inputs: further arguments of the model's forward, such as those of `cache.continuation`.
            grad: whether `then` may call `torch.autograd.grad`; an edit has to put in a tensor that requires it.
        """
        layer, stream = start if start is not None else (0, None)
        if stream is not None and layer == 0:  # there is no layer below to stand in for
            edit = {"resid_pre.0": lambda _: stream, **(edit or {})}
        wanted: list[tuple[Site, Edit | None]] = [(self.site(name), None) for name in dict.fromkeys(read)]
        wanted += [(self.site(name), function) for name, function in (edit or {}).items()]
        wanted.sort(key=lambda pair: (pair[0].order, pair[1] is None))  # an edited site is read after its edit
        for site, function in wanted:
            if function is not None and site.kind == "pattern":
                raise SiteError(
                    f"{site} can be read but not changed: the heads have used it by the time it is returned. "
                    f"Change head_out.{site.layer} instead."
                )
            if site.layer is not None and site.layer < layer:
                raise SiteError(f"{site} is not computed in a run that starts at layer {layer}.")
        steps = [
            Step(str(site), place(self._model, self.architecture, self.layout, site, len(ids[0])), function)
            for site, function in wanted
        ]
        tensor = torch.as_tensor(ids, device=self.device)
        arguments = {
            "input_ids": tensor,
            "attention_mask": torch.ones_like(tensor),
            "use_cache": False,
            **(inputs or {}),
        }
        with self._lock:
            return forward(
                self._model,
                arguments,
                steps,
                then or (lambda values: values),
                [self._envoy(f"{self.architecture.layers}.{i}") for i in range(layer)],
                (stream, None) if self.architecture.tuple_layer else stream,
                stop=not any(site.kind == "logits" for site, _ in wanted),
                options={"logits_to_keep": logits_to_keep}
                if isinstance(logits_to_keep, torch.Tensor) or logits_to_keep
                else {},
                grad=grad,
            )

    def unembed(self, stream: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocabulary] of a residual stream [..., width]: final norm, unembedding, soft cap. Inside `then` only."""
        return self.head(self._envoy(self.architecture.final_norm)(stream))

    def head(self, normed: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Logits [..., vocabulary] of a normalised stream [..., width]. Inside `then` only.

        `out`: an earlier result of at least as many rows, whose memory is used again where the model allows it.
        """
        module = self._module.get_submodule(self.architecture.head)
        if out is not None and type(module) is torch.nn.Linear and module.bias is None and not module.weight.is_meta:
            rows = normed.flatten(0, -2)
            logits = torch.mm(rows, module.weight.T, out=out.flatten(0, -2)[: len(rows)]).unflatten(
                0, normed.shape[:-1]
            )
        else:
            logits = self._envoy(self.architecture.head)(normed)
        return logits if self.softcap is None else logits.div_(self.softcap).tanh_().mul_(self.softcap)

    def final_norm(self, stream: torch.Tensor) -> torch.Tensor:
        """The residual stream as the unembedding sees it. Inside `then` only."""
        return self._envoy(self.architecture.final_norm)(stream)

    def token_logits(self, normed: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """Logits of some tokens only: normed [..., positions, width], token_ids [positions, m] -> [..., positions, m]."""
        head = self._envoy(self.architecture.head)
        if head.weight.is_meta:
            return self.gathered_logits(normed, token_ids)
        logits = torch.einsum("...pd,pmd->...pm", normed, head.weight[token_ids])
        if getattr(head, "bias", None) is not None:
            logits = logits + head.bias[token_ids]
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def gathered_logits(self, normed: torch.Tensor, token_ids: torch.Tensor) -> torch.Tensor:
        """`token_logits` where modules can be called, but have no weights: a server may run work apart from its model."""
        rows = [self.head(x).gather(-1, token_ids) for x in normed.flatten(0, -3)]  # whole rows of logits are large
        return torch.stack(rows).unflatten(0, normed.shape[:-2])

    def logits_of(self, normed: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
        """Logits [..., m] of m tokens from kept normalised streams [..., width]. Outside a run; on the CPU, float32."""
        head = self._module.get_submodule(self.architecture.head)
        with torch.no_grad():
            weight = head.weight[list(token_ids)].float().cpu()
            bias = getattr(head, "bias", None)
            logits = normed.float().cpu() @ weight.T + (0 if bias is None else bias[list(token_ids)].float().cpu())
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def _envoy(self, path: str) -> Any:
        return envoy(self._model, path)
