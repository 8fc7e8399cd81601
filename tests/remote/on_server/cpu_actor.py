"""NDIF's two actors for a machine without a GPU. Only the server's processes import this; NDIF is told by its environment."""

import functools
import inspect

import ray
import torch
from ndif.services.ray.deployments.controller.controller import _ControllerActor
from ndif.services.ray.deployments.modeling.base import BaseModelDeployment
from nnsight.modeling.huggingface import HuggingFaceModel
from nnsight.modeling.mixins.remotable import Remotable


@ray.remote(num_cpus=1, max_restarts=-1)
class CPUModelActor(BaseModelDeployment):
    """The model in float32 on the CPU. All but the loading of weights is NDIF's own."""

    CACHEABLE = False  # parking a model moves it between a GPU and the CPU

    def load_from_disk(self):
        torch.cuda.synchronize = lambda *_: None  # called after each request
        self.gpu_mem_bytes_by_id = {}  # the GPU that the controller gave us does not exist
        model = HuggingFaceModel.from_model_key(
            self.model_key, dispatch=True, dtype=self.dtype_name, device="cpu", **self.kwargs
        )
        model._module.requires_grad_(False)
        return model


@ray.remote(num_cpus=1, num_gpus=0, max_restarts=-1, resources={"head": 1})
class CPUController(_ControllerActor):
    """NDIF's controller, in a process where nnsight takes the arguments that NDIF gives it."""

    def __init__(self, *args, **kwargs):
        drop_trust_remote_code()
        super().__init__(*args, **kwargs)


def drop_trust_remote_code():
    """ndif 0.1.2 passes `trust_remote_code` to functions which in nnsight 0.8.1, the newest, do not have it yet."""
    for name in ("describe_checkpoint", "max_tp_size", "estimate_bytes"):
        function = Remotable.__dict__[name].__func__
        if "trust_remote_code" not in inspect.signature(function).parameters:
            setattr(Remotable, name, classmethod(_without(function)))


def _without(function):
    @functools.wraps(function)
    def call(cls, *args, trust_remote_code=False, **kwargs):
        return function(cls, *args, **kwargs)

    return call
