"""Writes the golden files of SAELens 5 with itself: `pip install sae-lens==5.11.0`, then run this file.

Each folder holds what the library saved, and expected.safetensors: x [16, 8], its encode a [16, 32] and decode y [16, 8].
"""

from pathlib import Path

import torch
from sae_lens import SAE, SAEConfig
from safetensors.torch import save_file

HERE = Path(__file__).parent / "saelens5"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def write(name, architecture="standard", **options):
    """Saves a dictionary whose weights exercise every term, and what the library makes of X with it."""
    defaults = {
        "d_in": 8, "d_sae": 32, "activation_fn_str": "relu", "apply_b_dec_to_input": True, "finetuning_scaling_factor": False,
        "context_size": 128, "model_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "hook_layer": 1,
        "hook_head_index": None, "prepend_bos": True, "dataset_path": "none", "dataset_trust_remote_code": True,
        "normalize_activations": "none", "dtype": "float32", "device": "cpu", "sae_lens_training_version": "5.11.0",
    }  # fmt: skip
    sae = SAE(SAEConfig(architecture=architecture, **defaults | options))
    generator = torch.Generator().manual_seed(0)
    for key, tensor in sae.named_parameters():
        tensor.data = torch.randn(tensor.shape, generator=generator) * (1 if key.startswith("W") else 0.5)
        if key in ("threshold", "finetuning_scaling_factor"):
            tensor.data = tensor.data.abs() * 3
        if key == "W_dec":
            tensor.data *= torch.linspace(0.3, 3, 32)[:, None]
    sae.save_model(str(HERE / name))
    if not sae.cfg.finetuning_scaling_factor:  # this version cannot read back what it saves of it
        sae = SAE.load_from_pretrained(str(HERE / name))
    heads = "hook_z" in sae.cfg.hook_name
    x = X.unflatten(1, (2, 4)) if heads else X
    a = sae.encode(x)
    y = sae.decode(a)
    save_file({"x": x.contiguous(), "a": a.contiguous(), "y": y.contiguous()}, HERE / name / "expected.safetensors")


write("standard")
write("topk", activation_fn_str="topk", activation_fn_kwargs={"k": 5})
write("gated", "gated")
write("jumprelu", "jumprelu")
write("no-subtraction", apply_b_dec_to_input=False)
for option in ("layer_norm", "constant_norm_rescale"):
    write(option, normalize_activations=option)
write("heads", hook_name="blocks.1.attn.hook_z")
write("finetuned", finetuning_scaling_factor=True)
