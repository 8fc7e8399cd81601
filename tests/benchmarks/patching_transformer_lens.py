"""TransformerLens' own patching helpers on some cells: `tests.benchmarks.patching` runs this file in another environment.

TransformerLens asks for versions of its own, so nothing of interp_widgets is imported here. The first line of the input is a job
(JSON): the folder of weights, both prompts as token ids, answer and foil, and the cells of each kind. Then each line names a kind;
the answer is a line with the processor seconds that its cells took and their logit differences. So both processes can take turns.

The model is a `TransformerBridge` as it boots, TransformerLens 4's recommended way; in compatibility mode it is slower.
"""

import json
import os
import sys
import time

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing but answers goes out
    job = json.loads(sys.stdin.readline())

    import pandas as pd
    import torch
    from transformer_lens import patching
    from transformer_lens.model_bridge import TransformerBridge

    helpers = {
        "resid_post": (patching.get_act_patch_resid_pre, ("layer", "pos")),
        "attn_out": (patching.get_act_patch_attn_out, ("layer", "pos")),
        "mlp_out": (patching.get_act_patch_mlp_out, ("layer", "pos")),
        "head_out": (patching.get_act_patch_attn_head_out_by_pos, ("layer", "pos", "head")),
    }
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model = TransformerBridge.boot_transformers(job["weights"], device="cpu", dtype=torch.float32)
    clean, corrupt = torch.tensor([job["clean"]]), torch.tensor([job["corrupt"]])
    _, cache = model.run_with_cache(clean)

    def metric(logits):
        return logits[0, -1, job["answer"]] - logits[0, -1, job["foil"]]

    for line in sys.stdin:
        kind = line.strip()
        helper, axes = helpers[kind]
        above = kind == "resid_post"  # the stream after a layer is the one before the next
        cells = pd.DataFrame([[cell[0] + above, *cell[1 : len(axes)]] for cell in job["cells"][kind]], columns=axes)
        begin = time.process_time()
        values = helper(model, corrupt, cache, metric, index_axis_names=None, index_df=cells)
        seconds = time.process_time() - begin
        print(json.dumps([seconds, values.tolist()]), file=answers, flush=True)


if __name__ == "__main__":
    main()
