"""Writes golden files of Gemma Scope and what SAELens makes of them: `pip install sae-lens==6.54.12`, then run this file.

Gemma Scope comes without a library. These folders have the names, keys and types of the release, in small; the expected numbers,
x [16, 8], a [16, 32] and y [16, 8] in expected.safetensors, are those of SAELens' loaders for the release.

Whether a transcoder has a skip connection is told by the tensors here; SAELens goes by `affine_connection`, so both say the same.
"""

import json
from pathlib import Path

import numpy as np
import sae_lens
import torch
from sae_lens.loading import pretrained_sae_loaders as loaders
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent / "gemma_scope"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))

loaders.hf_hub_download = lambda repo_id, filename, subfolder="", **_: str(HERE / repo_id / subfolder / filename)
loaders.get_safetensors_tensor_shapes = lambda repo_id, filename: {
    key: list(value.shape) for key, value in load_file(HERE / repo_id / filename).items()
}


def weights(upper):
    generator = torch.Generator().manual_seed(0)
    shapes = {"w_enc": (8, 32), "w_dec": (32, 8), "b_enc": (32,), "b_dec": (8,), "threshold": (32,)}
    made = {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
    made["threshold"] = made["threshold"].abs() * 2
    return {key.replace("w_", "W_") if upper else key: value for key, value in made.items()}


@torch.no_grad()
def expect(loader, repo, folder):
    config, state, _ = loader(repo, folder)
    kept = {key: config[key] for key in ("apply_b_dec_to_input", "normalize_activations")}
    kept["normalize_activations"] = kept["normalize_activations"] or "none"
    kind = {
        "jumprelu": "JumpReLUSAE",
        "jumprelu_transcoder": "JumpReLUTranscoder",
        "jumprelu_skip_transcoder": "JumpReLUSkipTranscoder",
    }[config["architecture"]]
    kept |= {"d_out": config["d_out"]} if "d_out" in config else {}
    sae = getattr(sae_lens, kind)(getattr(sae_lens, f"{kind}Config")(d_in=8, d_sae=32, **kept))
    sae.load_state_dict(state)
    save_file({"x": X, "a": sae.encode(X), "y": sae(X)}, HERE / repo / folder / "expected.safetensors")


for repo, folder, upper in (
    ("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71", True),
    ("gemma-scope-9b-pt-mlp", "layer_3/width_16k/average_l0_50", False),
):
    (HERE / repo / folder).mkdir(parents=True, exist_ok=True)
    np.savez(HERE / repo / folder / "params.npz", **{key: value.numpy() for key, value in weights(upper).items()})
    expect(loaders.gemma_2_sae_huggingface_loader, repo, folder)

repo = "gemma-scope-2-1b-pt"
MLP = ("pre_feedforward_layernorm.output", {"hf_hook_point_out": "model.layers.5.post_feedforward_layernorm.output"})
SKIP = torch.randn(8, 8, generator=torch.Generator().manual_seed(2))
for kind, end, hook, options, extra in (
    ("resid_post", "", "output", {}, {}),
    ("mlp_out", "", "post_feedforward_layernorm.output", {}, {}),
    ("transcoder", "", *MLP, {}),
    ("transcoder", "_affine", *MLP, {"affine_skip_connection": SKIP}),
):
    folder = f"{kind}/layer_5_width_16k_l0_medium{end}"
    options = options | ({"affine_connection": True} if extra else {})
    (HERE / repo / folder).mkdir(parents=True, exist_ok=True)
    save_file(weights(upper=False) | extra, HERE / repo / folder / "params.safetensors")
    config = {"architecture": "jump_relu", "model_name": "gemma-v3-1b-pt", "hf_hook_point_in": f"model.layers.5.{hook}"}
    (HERE / repo / folder / "config.json").write_text(json.dumps(config | options))
    expect(loaders.gemma_3_sae_huggingface_loader, repo, folder)
