"""Whether SAELens itself reads what `iw.train_sae` writes, with equal numbers.

    python -m tests.sae.golden.check_trained PYTHON     PYTHON: of an environment with `pip install sae-lens==6.54.12`

Trains a TopK and a JumpReLU dictionary of toy-grammar, has SAELens load the folders, and compares encode and decode.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import interp_widgets as iw
from interp_widgets.progress import silent

THEIRS = """
import sys
from safetensors.torch import load_file, save_file
from sae_lens import SAE
folder = sys.argv[1]
sae = SAE.load_from_disk(folder, device="cpu")
x = load_file(f"{folder}/x.safetensors")["x"]
a = sae.encode(x)
save_file({"a": a.detach().contiguous(), "y": sae.decode(a).detach().contiguous()}, f"{folder}/theirs.safetensors")
print(type(sae).__name__, sae.cfg.metadata.hook_name, sae.cfg.metadata.model_name)
"""


def main(python: str) -> None:
    model = iw.load("toy-grammar")
    texts = ["when mary and john went to the store , john gave a drink to mary .", "the keys are on the table ."] * 200
    for activation in ("topk", "jumprelu"):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / activation
            sae = iw.train_sae(
                model, texts, site="resid_post.2", width=64, k=4, tokens=2000, held_out=500, batch=100, buffer=1000,
                activation=activation, folder=folder, progress=silent,
            )  # fmt: skip
            x = torch.cat([model.read(text, [sae.site])[sae.site][1:] for text in texts[:2]])
            save_file({"x": x}, folder / "x.safetensors")
            done = subprocess.run([python, "-c", THEIRS, str(folder)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            theirs = load_file(folder / "theirs.safetensors")
            ours = sae.encode(x)
            assert (ours > 0).any()
            for name, tensor in (("a", ours), ("y", sae.decode(ours))):
                torch.testing.assert_close(theirs[name], tensor, atol=1e-5, rtol=1e-5)
            sys.stdout.write(f"{activation}: {done.stdout.strip()}, equal to 1e-5\n")


if __name__ == "__main__":
    main(sys.argv[1])
