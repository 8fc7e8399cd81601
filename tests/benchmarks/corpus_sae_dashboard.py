"""SAEDashboard on some windows of tokens: `tests.benchmarks.corpus` runs this file in another environment.

SAEDashboard asks for versions of its own, so nothing of interp_widgets is imported here. An environment that has it:

    python -m venv ENV
    ENV/bin/pip install torch==2.13.0 sae-lens==6.54.12 sae-dashboard==0.8.0 "pyarrow<21"
    ENV/bin/pip uninstall torchvision torchaudio

(pyarrow, because newer ones want another numpy than TransformerLens 2; the last line only if pip brought builds that do
not fit torch.) The first line of the input is a job (JSON): the folders of weights and of the dictionary, the site, and windows of
token ids. Then each line names a way and how many windows; the answer is a line with the processor seconds, and the maximum of each
feature. So both processes can take turns.

TransformerLens 2 does not know SmolLM2 by name, so its Llama conversion is called by hand. SAEDashboard wants to fold the norms of
the decoder, which SAELens refuses for this kind of TopK dictionary; the folding is left out, and it costs nothing.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
warnings.simplefilter("ignore")


def load(weights):
    import torch
    from sae_lens import HookedSAETransformer
    from transformer_lens import HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_llama_weights
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    config = AutoConfig.from_pretrained(weights)
    config.rope_theta = float(config.rope_parameters["rope_theta"])  # where transformers 4 looks for it
    hf = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32, config=config)
    marker = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=f"{weights}/tokenizer.json", bos_token=marker, eos_token=marker, unk_token=marker
    )
    tokenizer.init_kwargs.update(
        add_bos_token=True, name_or_path=weights
    )  # or it is read again, by a class of transformers 5
    head = config.hidden_size // config.num_attention_heads
    cfg = HookedTransformerConfig(
        model_name="smollm2",
        original_architecture="LlamaForCausalLM",
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        n_ctx=512,
        d_head=head,
        n_heads=config.num_attention_heads,
        n_key_value_heads=config.num_key_value_heads,
        d_mlp=config.intermediate_size,
        d_vocab=config.vocab_size,
        act_fn="silu",
        gated_mlp=True,
        eps=config.rms_norm_eps,
        normalization_type="RMS",
        final_rms=True,
        positional_embedding_type="rotary",
        rotary_base=config.rope_theta,
        rotary_adjacent_pairs=False,
        rotary_dim=head,
        device="cpu",
        dtype=torch.float32,
    )
    model = HookedSAETransformer(cfg, tokenizer=tokenizer)
    no = dict.fromkeys(("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases"), False)
    model.load_and_process_state_dict(convert_llama_weights(hf, cfg), **no)
    return model


def main():
    answers, sys.stdout = sys.stdout, sys.stderr  # nothing but answers goes out
    job = json.loads(sys.stdin.readline())

    import torch
    from sae_dashboard.sae_vis_data import SaeVisConfig
    from sae_dashboard.sae_vis_runner import SaeVisRunner
    from sae_lens import SAE

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model, sae = load(job["weights"]), SAE.load_from_disk(job["sae"])
    sae.fold_W_dec_norm = lambda: None
    layer = int(job["hook"].split(".")[1])
    tokens = torch.tensor(job["windows"])
    print(json.dumps("ready"), file=answers, flush=True)

    for line in sys.stdin:
        way, count = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            options = {
                "default": {},
                "cached": {"cache_dir": Path(folder)},
                "at once": {"minibatch_size_features": 4096},
            }
            begin, found = time.process_time(), []
            if way == "forward":
                model.run_with_hooks(tokens[:count], stop_at_layer=layer + 1, return_type=None)
            else:
                cfg = SaeVisConfig(
                    hook_point=job["hook"],
                    features=range(sae.cfg.d_sae),
                    ignore_high_activation_norm_multiple=5.0,
                    **options[way],
                )
                with contextlib.redirect_stdout(sys.stderr):
                    data = SaeVisRunner(cfg).run(encoder=sae, model=model, tokens=tokens[:count])
                found = data.feature_stats.max
            seconds = time.process_time() - begin
        print(json.dumps([seconds, [float(x) for x in found]]), file=answers, flush=True)


if __name__ == "__main__":
    main()
