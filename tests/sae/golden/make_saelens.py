"""Writes the golden files of SAELens with SAELens itself: `pip install sae-lens==6.54.12`, then run this file.

Each folder holds what the library saved, and expected.safetensors: x [16, 8] (of heads, [16, 2, 4]), its encode a [16, 32] and its
reconstruction y, of transcoders [16, 6].
"""

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
    x = X.unflatten(1, (2, 4)) if oracle.cfg.reshape_activations == "hook_z" else X
    a, y = oracle.encode(x), oracle(x)  # what forward gives is decode of encode, and the skip connection
    save_file({"x": x.contiguous(), "a": a.contiguous(), "y": y.contiguous()}, folder / "expected.safetensors")


def metadata(config, **changes):
    for key, value in {**METADATA, **changes}.items():
        setattr(config.metadata, key, value)
    return config


def make(kind, said=(), **options):
    sae, config = getattr(sae_lens, kind), getattr(sae_lens, f"{kind}Config")
    return fill(sae(metadata(config(**SIZES, **options), **dict(said))))


write("standard", make("StandardSAE"))
write("standard-no-subtraction", make("StandardSAE", apply_b_dec_to_input=False))
write("topk", make("TopKSAE", k=5))
write("topk-rescaled", make("TopKSAE", k=5, rescale_acts_by_decoder_norm=True))
write("jumprelu", make("JumpReLUSAE"))
write("gated", make("GatedSAE"))
write("gated-no-subtraction", make("GatedSAE", apply_b_dec_to_input=False))

IN_OUT = {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}
for kind in ("Transcoder", "SkipTranscoder", "JumpReLUTranscoder", "JumpReLUSkipTranscoder"):
    transcoder = make(kind, IN_OUT, d_out=6, apply_b_dec_to_input=False)
    write(transcoder.cfg.architecture(), transcoder)
write(
    "transcoder-layer-norm",
    make("Transcoder", IN_OUT, d_out=6, apply_b_dec_to_input=False, normalize_activations="layer_norm"),
)

for kind in ("StandardSAE", "TopKSAE", "JumpReLUSAE", "GatedSAE"):
    for option in ("layer_norm", "constant_norm_rescale"):
        only = {"k": 5} if kind == "TopKSAE" else {}
        sae = make(kind, normalize_activations=option, **only)
        write(f"{sae.cfg.architecture()}-{option}", sae)
HEADS = {"hook_name": "blocks.1.attn.hook_z"}
write("heads", make("StandardSAE", HEADS, reshape_activations="hook_z"))
write("heads-layer-norm", make("TopKSAE", HEADS, k=5, reshape_activations="hook_z", normalize_activations="layer_norm"))
write("one-head", make("StandardSAE", {**HEADS, "hook_head_index": 1}))

# A checkpoint of a training that scales activations: the factor lies beside the weights. The release's loader folds it.
scaled = make("StandardSAE", normalize_activations="expected_average_only_in")
scaled.save_model(HERE / "scaled")
(HERE / "scaled" / "activation_scaler.json").write_text('{"scaling_factor": 0.4}')
scaled.fold_activation_norm_scaling_factor(0.4)
write("scaled", None, oracle=scaled)

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
