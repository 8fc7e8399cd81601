"""Writes the golden files of dictionary_learning with itself: `pip install dictionary-learning==0.1.0`, then run this file.

Each folder holds ae.pt and config.json as its trainers write them, and expected.safetensors: x [16, 8], the encode a [16, 32] and
decode y [16, 8] of the dictionary that `load_dictionary` makes of the folder.
"""

import json
from pathlib import Path

import torch
from dictionary_learning import dictionary as plain
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from dictionary_learning.utils import load_dictionary
from safetensors.torch import save_file

HERE = Path(__file__).parent / "dictionary_learning"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def write(name, ae, submodule="resid_post_layer_1", **config):
    """Saves `ae` with weights that exercise every term, and what the library makes of X with it."""
    generator = torch.Generator().manual_seed(0)
    for key, tensor in ae.named_parameters():
        matrix = tensor.dim() == 2
        tensor.data = torch.randn(tensor.shape, generator=generator) * (1 if matrix else 0.5)
        if key == "threshold":
            tensor.data = tensor.data.abs() * 3
        if matrix and key == "decoder.weight":
            tensor.data *= torch.linspace(0.3, 3, 32)
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(ae.state_dict(), folder / "ae.pt")
    trainer = {"dict_class": type(ae).__name__, "activation_dim": 8, "dict_size": 32, "layer": 1, "lm_name": "tiny"}
    trainer |= {"submodule_name": submodule, **config}
    (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"d_submodule": 8, "ctx_len": 128}}))
    loaded, _ = load_dictionary(str(folder), device="cpu")
    a = loaded.encode(X)
    save_file({"x": X, "a": a.contiguous(), "y": loaded.decode(a).contiguous()}, folder / "expected.safetensors")


write("AutoEncoder", plain.AutoEncoder(8, 32))
write("AutoEncoderNew", plain.AutoEncoderNew(8, 32), "mlp_out_layer_1")
write("GatedAutoEncoder", plain.GatedAutoEncoder(8, 32), "attn_out_layer_1")
write("JumpReluAutoEncoder", plain.JumpReluAutoEncoder(8, 32))
write("AutoEncoderTopK", AutoEncoderTopK(8, 32, k=5), k=5)
for name, threshold in (("BatchTopKSAE", 1.5), ("BatchTopKSAE-untrained-threshold", -1.0)):
    batch = BatchTopKSAE(8, 32, k=5)
    batch.threshold.fill_(threshold)
    write(name, batch, k=5)
matryoshka = MatryoshkaBatchTopKSAE(8, 32, k=5, group_sizes=[8, 24])
matryoshka.threshold.fill_(1.5)
write("MatryoshkaBatchTopKSAE", matryoshka, k=5)
