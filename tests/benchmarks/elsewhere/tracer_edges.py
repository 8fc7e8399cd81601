"""A graph by circuit-tracer (github.com/decoderesearch/circuit-tracer, nnsight 0.6), with random transcoders at every layer.

    python tracer_edges.py CHECKOUT ASKED FOUND

ASKED holds a Llama's folder, token ids, the size and sparsity of a transcoder, how many features to attribute, and the batch.
"""

from __future__ import annotations

import resource
import sys
import time

import torch

checkout, asked, found = sys.argv[1:]
torch.set_num_threads(1)
sys.path.insert(0, checkout)

from circuit_tracer.attribution.attribute_nnsight import attribute  # noqa: E402
from circuit_tracer.replacement_model.replacement_model_nnsight import NNSightReplacementModel  # noqa: E402
from circuit_tracer.transcoder.activation_functions import TopK  # noqa: E402
from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet  # noqa: E402

request = torch.load(asked)
generator = torch.Generator().manual_seed(0)
made = {}
for layer in range(request["layers"]):
    shape = request["width"], request["atoms"]
    made[layer] = SingleLayerTranscoder(
        *shape, TopK(request["k"]), layer, device=torch.device("cpu"), dtype=torch.float32
    )
    with torch.no_grad():
        directions = torch.nn.functional.normalize(torch.randn(shape[::-1], generator=generator), dim=1)
        made[layer].W_enc.copy_(directions)
        made[layer].W_dec.copy_(directions)
model = NNSightReplacementModel.from_pretrained_and_transcoders(
    request["model"], TranscoderSet(made, "mlp.hook_in", "mlp.hook_out"), device="cpu", dtype=torch.float32
)
begin = time.perf_counter()
graph = attribute(
    torch.tensor(request["clean"]),
    model,
    max_n_logits=1,
    batch_size=request["batch"],
    max_feature_nodes=request["features"],
)
seconds = time.perf_counter() - begin
matrix = graph.adjacency_matrix
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
torch.save(
    {
        "seconds": seconds,
        "features": len(graph.selected_features),
        "nodes": len(matrix),
        "edges": int((matrix != 0).sum()),
        "peak_mb": peak / 1024,
    },
    found,
)
