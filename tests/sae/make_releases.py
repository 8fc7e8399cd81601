"""Writes interp_widgets/sae/releases.json from SAELens' list: `pip install sae-lens==6.54.12`, then run this file.

Ids and paths are written as templates, checked here against every entry of the list. `{0}` and `{1}` are the parts of an id; `{v}`
is looked up by them in `values`. What does not follow the template is under `special`.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import yaml

OUT = Path(__file__).parents[2] / "interp_widgets" / "sae" / "releases.json"
LIST = yaml.safe_load((Path(find_spec("sae_lens").submodule_search_locations[0]) / "pretrained_saes.yaml").read_text())

BLOCK = "blocks.{0}.hook_resid_post"
TEMPLATES = {
    "gpt2-small-res-jb": ("blocks.{0}.hook_{1}",) * 2 + ("gpt2-small/{0}-res-jb",),
    "gpt2-small-res-jb-feature-splitting": ("blocks.8.hook_resid_pre_{0}",) * 2 + ("gpt2-small/8-res_fs{0}-jb",),
    "gpt2-small-mlp-tm": ("blocks.{0}.hook_mlp_out", "sae_group_gpt2_blocks.{0}.hook_mlp_out_24576:v{v}", None),
    "mistral-7b-res-wg": ("blocks.{0}.hook_resid_pre", "mistral_7b_layer_{0}", None),
    "llama-3-8b-it-res-jh": ("blocks.{0}.hook_resid_post",) * 2 + ("llama3-8b-it/{0}-res-jh",),
    "gemma-2b-it-res-jb": (BLOCK, "gemma_2b_it_blocks.{0}.hook_resid_post_16384", "gemma-2b-it/{0}-res-jb"),
    "gemma-2b-res-jb": (BLOCK, "gemma_2b_blocks.{0}.hook_resid_post_16384", "gemma-2b/{0}-res-jb"),
    "gemma-2-2b-res-matryoshka-dc": (BLOCK, f"standard/{BLOCK}", "gemma-2-2b/{0}-res-matryoshka-dc"),
    "gemma-2-2b-res-snap-matryoshka-dc": (BLOCK, f"snap/{BLOCK}", None),
    "gemma-2-9b-res-matryoshka-dc": (BLOCK, BLOCK, None),
    "gemma-3-1b-res-matryoshka-dc": (BLOCK, BLOCK, None),
    "pythia-70m-deduped-res-sm": ("blocks.{0}.hook_{1}", "{0}-res-sm", "pythia-70m-deduped/{0}-res-sm"),
    "pythia-70m-deduped-mlp-sm": ("blocks.{0}.hook_mlp_out", "{0}-mlp-sm", "pythia-70m-deduped/{0}-mlp-sm"),
    "pythia-70m-deduped-att-sm": ("blocks.{0}.hook_attn_out", "{0}-att-sm", "pythia-70m-deduped/{0}-att-sm"),
    "llama-3.1-8b-instruct-andyrdt": ("resid_post_layer_{0}_trainer_{1}", "resid_post_layer_{0}/trainer_{1}",
                                      "llama3.1-8b-it/{0}-resid-post-aa"),
    "qwen2.5-7b-instruct-andyrdt": ("resid_post_layer_{0}_trainer_{1}", "resid_post_layer_{0}/trainer_{1}",
                                    "qwen2.5-7b-it/{0}-resid-post-aa"),
}  # fmt: skip
for hook, short in (("attn_out", "att"), ("mlp_out", "mlp"), ("resid_mid", "res_mid"), ("resid_post", "res_post")):
    for size in ("32k", "128k"):
        name = f"gpt2-small-{hook.replace('_', '-')}-v5-{size}"
        path = LIST[name]["saes"][0]["path"].replace("layer_0", "layer_{0}")
        TEMPLATES[name] = (f"blocks.{{0}}.hook_{hook}", path, f"gpt2-small/{{0}}-{short}_{size}-oai")
for name in LIST:
    if re.fullmatch(r"gemma-scope-\d+b-(pt|it)-(res|att|mlp)", name):
        TEMPLATES[name] = ("{0}", "{0}", None)
    elif match := re.fullmatch(r"gemma-scope-(\d+b)-(pt|it)-(res|att|mlp)-canonical", name):
        model = f"gemma-2-{match[1]}" + ("-it" if match[2] == "it" else "")
        TEMPLATES[name] = ("layer_{0}/width_{1}/canonical", "layer_{0}/width_{1}/average_l0_{v}",
                           f"{model}/{{0}}-gemmascope-{match[3]}-{{1}}")  # fmt: skip
    elif name.startswith("gemma-scope-2-"):
        first = LIST[name]["saes"][0]
        folder = first["path"].removesuffix(first["id"])
        TEMPLATES[name] = ("{0}", folder + "{0}", None)

table = {}
for name, (identity, path, neuronpedia) in TEMPLATES.items():
    source = LIST[name]
    entry = {"repo_id": source["repo_id"], "id": identity, "path": path}
    entry |= {"neuronpedia": neuronpedia} if neuronpedia else {}
    if overrides := source.get("config_overrides"):
        wanted = ("normalize_activations", "model_from_pretrained_kwargs")
        if kept := {key: overrides[key] for key in wanted if key in overrides}:
            entry["config_overrides"] = kept
    pattern = re.sub(r"\\\{\d\\\}", r"([\\w./-]+?)", re.escape(identity))
    values, special, factors = {}, {}, {}
    for sae in source["saes"]:
        parts = re.fullmatch(pattern, sae["id"]).groups()
        value = ""
        if "{v}" in path:
            value = re.fullmatch(re.escape(path.format(*parts, v="@")).replace("@", r"(\d+)"), sae["path"])[1]
            values["/".join(parts)] = int(value)
        said = {"path": path.format(*parts) if "{v}" not in path else sae["path"]}
        said["neuronpedia"] = neuronpedia and neuronpedia.format(*parts)
        found = {"path": sae["path"], "neuronpedia": sae.get("neuronpedia")}
        if differing := {key: found[key] for key in said if said[key] != found[key] and (key == "path" or neuronpedia)}:
            special[sae["id"]] = differing
        if "norm_scaling_factor" in sae:
            factors[sae["id"]] = sae["norm_scaling_factor"]
    entry |= {key: found for key, found in (("values", values), ("special", special), ("factors", factors)) if found}
    table[name] = entry
OUT.write_text(
    "{\n"
    + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in sorted(table.items()))
    + "\n}\n"
)
