"""Writes the golden files of OpenAI's sparse_autoencoder with itself.

`pip install torch safetensors git+https://github.com/openai/sparse_autoencoder.git`, then run this file. Each folder holds N.pt,
the library's state dict, and expected.safetensors: x [16, 8], its encode a [16, 32] and decode y [16, 8].
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from sparse_autoencoder.model import Autoencoder, TopK

HERE = Path(__file__).parent / "openai"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def write(folder, layer, **options):
    coder = Autoencoder(32, 8, **options)
    generator = torch.Generator().manual_seed(0)
    for tensor in coder.parameters():
        tensor.data = torch.randn(tensor.shape, generator=generator) * (1 if tensor.dim() == 2 else 0.5)
    (HERE / folder).mkdir(parents=True, exist_ok=True)
    torch.save(coder.state_dict(), HERE / folder / f"{layer}.pt")
    coder = Autoencoder.from_state_dict(torch.load(HERE / folder / f"{layer}.pt", weights_only=True), strict=False)
    a, info = coder.encode(X)
    save_file({"x": X, "a": a, "y": coder.decode(a, info)}, HERE / folder / "expected.safetensors")


write("resid_delta_mlp_v4/autoencoders", 3)
# The library tells by the nonlinearity whether inputs are normed.
write("resid_post_mlp_v5_32k/autoencoders", 7, activation=TopK(5), normalize=True)
