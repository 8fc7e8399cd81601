"""`python -m tests.benchmarks.train [STEPS]`: our training of a dictionary beside SAELens' own trainer, on the same activations.

`IW_SAE_LENS` names the Python of an environment with sae-lens 6.54; without it only ours run. Activations of SmolLM2-135M (layer
15, on this repository's own texts) are written to a file once; each contestant then trains a TopK dictionary of 4096 atoms, k = 32,
on batches of 1024 from that file, with one thread, the same learning rate and schedule, and is measured on the same held-out part.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
TOKENS, HELD_OUT, WIDTH, K, BATCH, RATE = 60_000, 6_000, 4096, 32, 1024, 1e-3

THEIRS = """
import json, sys, time
import numpy as np, torch
from sae_lens import LoggingConfig, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
file, held, steps, width, k, batch, rate, low = sys.argv[1], *map(int, sys.argv[2:7]), float(sys.argv[7]), sys.argv[8] == "1"
torch.set_num_threads(1)
x = torch.from_numpy(np.load(file)).float()
held, x = x[:held], x[held:]
torch.manual_seed(0)
def batches():
    while True:
        yield x[torch.randint(0, len(x), (batch,))]
torch.manual_seed(0)
sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=x.shape[1], d_sae=width, k=k, normalize_activations="expected_average_only_in"))
config = SAETrainerConfig(total_training_samples=steps * batch, train_batch_size_samples=batch, lr=rate, lr_end=rate,
    lr_warm_up_steps=max(1, steps // 50), lr_decay_steps=3 * steps // 10, autocast=low, n_batches_for_norm_estimate=20,
    logger=LoggingConfig(log_to_wandb=False))
trainer = SAETrainer(cfg=config, sae=sae, data_provider=batches())
start = time.perf_counter(), time.process_time()
trainer.fit()
took = time.perf_counter() - start[0], time.process_time() - start[1]
with torch.no_grad():
    y = torch.cat([sae.decode(sae.encode(piece)) for piece in held.split(1024)])
left = (held - y).square().sum() / (held - held.mean(0)).square().sum()
print(json.dumps([*took, 1 - left.item()]))
"""


def main(steps: int) -> None:
    from tests.benchmarks import measure

    measure.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "activations.npy"
        np.save(file, activations())
        rows = {
            "`sae.training`": ours(file, steps, low=True),
            "`sae.training`, float32 products": ours(file, steps, low=False),
        }
        if python := os.environ.get("IW_SAE_LENS"):
            rows["SAELens"] = theirs(python, file, steps, low=False)
            rows["SAELens, autocast to bfloat16"] = theirs(python, file, steps, low=True)
    print("|  | tokens a second | the same, of the processor's time | explained variance, held out |")
    print("| --- | ---: | ---: | ---: |")
    for name, (clock, processor, explained) in rows.items():
        print(f"| {name} | {steps * BATCH / clock:,.0f} | {steps * BATCH / processor:,.0f} | {explained:.3f} |")


def activations() -> np.ndarray:
    """float16 [TOKENS, width]: what counts of documentation and source, in random order, the held-out files first."""
    import torch

    import interp_widgets as iw
    from interp_widgets.session.harvest import harvest

    model, site, rng = iw.load("smollm2-135m", dtype="bfloat16"), "resid_post.15", np.random.default_rng(0)
    texts = [
        file.read_text(encoding="utf-8")
        for place in ("docs", "interp_widgets", "tests")
        for file in sorted((ROOT / place).rglob("*.[mp][dy]"))
    ]
    rng.shuffle(texts)
    found, count = [], 0
    for _, rows in harvest(
        model, texts, [site], lambda values, counts: values[site][counts].to(torch.float16).cpu().numpy()
    ):
        found.append(rows)
        if (count := count + len(rows)) >= TOKENS:
            break
    x = np.concatenate(found)[:TOKENS]
    rng.shuffle(x[HELD_OUT:])
    return x


def ours(file: Path, steps: int, *, low: bool) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, explained variance."""
    import torch

    from interp_widgets.sae.trainer import Settings, Trainer

    x = torch.from_numpy(np.load(file)).float()
    held, x = x[:HELD_OUT], x[HELD_OUT:]
    torch.manual_seed(0)
    trainer = Trainer(Settings(WIDTH, K, "topk", RATE, BATCH, 0, low), x[:16_384], "cpu")
    start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        trainer.step(trainer.scaled(x[torch.randint(0, len(x), (BATCH,))]), steps)
    took = time.perf_counter() - start[0], time.process_time() - start[1]
    return *took, trainer.measure(trainer.scaled(held)).explained_variance


def theirs(python: str, file: Path, steps: int, *, low: bool) -> tuple[float, float, float]:
    import json

    numbers = [file, HELD_OUT, steps, WIDTH, K, BATCH, RATE, int(low)]
    done = subprocess.run([python, "-c", THEIRS, *map(str, numbers)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    clock, processor, explained = json.loads(done.stdout.splitlines()[-1])
    return clock, processor, explained


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
