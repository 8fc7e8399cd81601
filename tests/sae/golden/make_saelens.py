"""Writes the golden files of SAELens with SAELens itself: `pip install sae-lens==6.54.12`, then run this file.

Each folder holds what the library saved, and expected.safetensors: x [16, 8], its encode a [16, 32] and decode y [16, 8].
"""

import json
from pathlib import Path

import sae_lens
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent / "saelens"
SIZES = {"d_in": 8, "d_sae": 32}
METADATA = {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_post"}
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


def fill(sae):
    """Weights that exercise every term: no bias is zero, norms of directions differ."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in sae.named_parameters():
        tensor.data = torch.randn(tensor.shape, generator=generator) * (1 if name.startswith("W") else 0.5)
        if name == "threshold":
            tensor.data = tensor.data.abs() * 3
        if name == "W_dec":
            tensor.data *= torch.linspace(0.3, 3, 32)[:, None]
    return sae


@torch.no_grad()
def write(name, sae, oracle=None):
    """Saves `sae` and what `oracle`, else itself, makes of X."""
    folder = HERE / name
    if oracle is None:
        sae.save_model(folder)
        oracle = sae
    a = oracle.encode(X)
    save_file({"x": X, "a": a.contiguous(), "y": oracle.decode(a).contiguous()}, folder / "expected.safetensors")


def metadata(config):
    for key, value in METADATA.items():
        setattr(config.metadata, key, value)
    return config


def make(kind, **options):
    sae, config = getattr(sae_lens, kind), getattr(sae_lens, f"{kind}Config")
    return fill(sae(metadata(config(**SIZES, **options))))


write("standard", make("StandardSAE"))
write("standard-no-subtraction", make("StandardSAE", apply_b_dec_to_input=False))
write("topk", make("TopKSAE", k=5))
write("topk-rescaled", make("TopKSAE", k=5, rescale_acts_by_decoder_norm=True))
write("jumprelu", make("JumpReLUSAE"))
write("gated", make("GatedSAE"))
write("gated-no-subtraction", make("GatedSAE", apply_b_dec_to_input=False))
write("transcoder", make("Transcoder", d_out=8, apply_b_dec_to_input=False))
write("skip-transcoder", make("SkipTranscoder", d_out=8, apply_b_dec_to_input=False))

# Trained as batchtopk and matryoshka; the library says what architecture it saves them as, and reads them back itself.
for name, kind, options in (
    ("batchtopk", "BatchTopKTrainingSAE", {}),
    ("batchtopk-rescaled", "BatchTopKTrainingSAE", {"rescale_acts_by_decoder_norm": True}),
    ("matryoshka", "MatryoshkaBatchTopKTrainingSAE", {"matryoshka_widths": [8, 32]}),
):
    trained = make(kind, k=5, **options)
    trained.topk_threshold.fill_(1.5)
    trained.save_inference_model(HERE / name)
    write(name, trained, oracle=sae_lens.SAE.load_from_disk(HERE / name))

# Version 5 wrote the same weights with a flat configuration; version 6 reads it, so version 6 says what it means.
for name, source, changes in (
    ("v5-standard", "standard", {"activation_fn_str": "relu"}),
    ("v5-topk", "topk", {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}),
    ("v5-gated", "gated", {"activation_fn_str": "relu"}),
    ("v5-jumprelu", "jumprelu", {"activation_fn_str": "relu"}),
):
    config = {
        **SIZES,
        **METADATA,
        "architecture": source,
        "dtype": "float32",
        "device": "cpu",
        "hook_layer": 1,
        "normalize_activations": "none",
        "finetuning_scaling_factor": False,
        "sae_lens_training_version": "5.11.0",
        **changes,
    }
    (HERE / name).mkdir(parents=True, exist_ok=True)
    (HERE / name / "sae_weights.safetensors").write_bytes((HERE / source / "sae_weights.safetensors").read_bytes())
    (HERE / name / "cfg.json").write_text(json.dumps(config))
    write(name, None, oracle=sae_lens.SAE.load_from_disk(HERE / name))
