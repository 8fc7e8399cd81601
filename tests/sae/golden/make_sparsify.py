"""Writes the golden files of sparsify with itself: `pip install eai-sparsify==1.3.3`, then run this file.

Each folder holds what `save_to_disk` writes, and expected.safetensors: x [16, 8], the encode a [16, 32], made dense, and the
reconstruction y [16, 8].
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from sparsify import SparseCoder, SparseCoderConfig

HERE = Path(__file__).parent / "sparsify"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def write(name, **options):
    coder = SparseCoder(8, SparseCoderConfig(**options))
    generator = torch.Generator().manual_seed(0)
    for tensor in coder.parameters():
        tensor.data = torch.randn(tensor.shape, generator=generator) * (1 if tensor.dim() == 2 else 0.5)
    coder.save_to_disk(HERE / name)
    coder = SparseCoder.load_from_disk(HERE / name)
    acts, indices, _ = coder.encode(X)
    a = torch.zeros(16, 32).scatter(1, indices, acts)
    # With multi_topk, which is for training only, forward decodes more latents than encode gives.
    y = coder.decode(acts, indices) if coder.cfg.multi_topk else coder(X).sae_out
    save_file({"x": X, "a": a, "y": y}, HERE / name / "expected.safetensors")


write("layers.10", num_latents=32, k=5)
write("layers.3.mlp", expansion_factor=4, k=5, normalize_decoder=False)
write("layers.3.attention", num_latents=32, k=4, activation="groupmax")
write("h.0", num_latents=32, k=5, multi_topk=True)
write("layers.4.mlp", num_latents=32, k=5, transcode=True)
write("layers.5.mlp", num_latents=32, k=5, transcode=True, skip_connection=True)
write("layers.6", num_latents=32, k=5, skip_connection=True)
write("layers.7", num_latents=32, k=4, activation="groupmax", transcode=True, skip_connection=True)
