"""A session on a model that is on a server: its work is sent there, results come back, no weights are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import nnsight
import torch

from ...progress import Progress, heard
from ..architectures import Architecture
from ..runner import Runner
from ..session import Session
from .packing import PACKAGE, pack, restore
from .request import JobState, send

nnsight.register(PACKAGE)  # functions of ours travel by their source: a server does not have them

T = TypeVar("T")


class RemoteSession(Session):
    """A model on an NDIF server with a name for every activation. Made by `iw.load(..., remote=...)`.

    `torch_module` is None, and `device` is "meta": what is here is the model's structure alone.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        architecture: Architecture,
        *,
        remote: bool | str,
        source: str,
        origin: Mapping[str, Any] | None = None,
        sink: bool = False,
    ) -> None:
        self._open(name, model, tokenizer, architecture, source, origin, sink)
        self.remote = remote
        self._host = remote if isinstance(remote, str) else None
        self._server = {"dtype": "unknown", "device": "unknown"}
        self.jobs: list[JobState] = []
        """Every request of this session, the newest last."""

    @property
    def torch_module(self) -> torch.nn.Module | None:
        """None: the weights are on the server."""
        return None

    @property
    def weights_hash(self) -> None:  # type: ignore[override]
        """None: the weights are on the server."""
        return None

    @property
    def host(self) -> str:
        """Address of the server."""
        return self._host or str(nnsight.CONFIG.API.HOST)

    @property
    def dtype(self) -> str:
        """Type of the weights on the server, as its last answer said."""
        return self._server["dtype"]

    def __repr__(self) -> str:
        return f"RemoteSession({self.name!r}, {self.num_layers} layers, width {self.width}, on {self.host})"

    def work(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """`function(model, *args, **more)` on the server, as one request.

        `progress`, where it is given, hears how the job is doing; raising there stops waiting for it. The server has no way to be
        told: what it has begun it ends, and nobody fetches the answer.

        Raises:
            RemoteError: the job did not come to its end; says why and what to do.
        """
        progress: Progress | None = more.pop("progress", None)
        state = JobState(function.__qualname__.rpartition(".")[2].strip("_"))
        self.jobs.append(state)
        listeners = [listener for listener in (progress, heard.get()) if listener is not None]

        def tell(state: JobState) -> None:
            for listener in dict.fromkeys(listeners):
                listener(0, 0, in_words(state))

        work, tensors = pack(function, (self, *args), more)
        answer = send(self._model, self._host, state, work, tensors, tell)
        self._server = {key: answer[key] for key in ("dtype", "device")}
        return restore(answer["value"])

    def run(self, *args: Any, **more: Any) -> Any:
        """One forward pass on the server, see `Runner.run`. What `then` gives back is what travels."""
        return self.work(Runner.run, *args, **more)

    def logits_of(self, normed: torch.Tensor, token_ids: Sequence[int]) -> torch.Tensor:
        return self.work(Runner.logits_of, normed, list(token_ids))

    def provenance(self) -> dict[str, Any]:
        """What a result of this session rests on. The weights are the server's: their hash is not known."""
        return {
            **super().provenance(),
            "device": f"{self._server['device']} on the server",
            "backend": f"NDIF at {self.host}",
            "access": "weights and activations on the server; what comes back are results",
        }


def in_words(state: JobState) -> str:
    """How a job is doing, in a line."""
    stage = {"received": "received", "queued": "queued", "dispatched": "sent to the model"}.get(
        state.stage, state.stage
    )
    where = f": {state.said.removesuffix('.')}" if state.stage == "queued" and state.said else ""
    return f"{state.work}, {stage} on the server{where}, {state.seconds:.0f} s"
