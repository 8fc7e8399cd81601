"""How a circuit of this package looks in a file of circuit-tracer: ids, features, types and labels of its nodes.

A node is `layer_index_position` there, and both front ends take nodes of one layer, feature and position for the same. We have
several dictionaries in a layer, so their atoms are numbered one dictionary after the other; with one in all, the number is the
atom's. What their terms cannot say stands in a key of ours, the node's row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

import polars as pl

from ..errors import GraphError
from ..frames.circuits import GRAPH_NODES
from .structure import LARGEST, clean, kind_of, number, whole

OWN = "interp_widgets"
"""Our key: in the metadata, and in each node."""
EMBEDDING, LOGIT = "embedding", "logit"
NO_PROBABILITY = " (p=–)"
_PROBABILITY = re.compile(r" \(p=[^()]*\)$")


def pair(layer: int, index: int) -> int:
    """Cantor's pairing of two whole numbers, as the files write a feature."""
    return (layer + index) * (layer + index + 1) // 2 + index


def unpair(feature: int) -> tuple[int, int]:
    """(layer, index) of a paired feature; (-1, -1) of a number that is none."""
    if not 0 <= feature <= LARGEST**2:
        return -1, -1
    total = (isqrt(8 * feature + 1) - 1) // 2
    index = feature - total * (total + 1) // 2
    return total - index, index


def entries(nodes: pl.DataFrame, labels: Mapping[str, str], metric: str) -> list[dict[str, Any]]:
    """A file's entry per row of GRAPH_NODES. Ids are unique."""
    rows = nodes.to_dicts()
    places = {_place(row["site"]) for row in rows if row["layer"] is not None}
    slots = {place: slot for slot, place in enumerate(sorted(places))}
    stride = 10 ** len(str(max((row["atom"] or 0 for row in rows), default=0)))
    top = max((row["layer"] for row in rows if row["layer"] is not None), default=0) + 1
    used: set[str] = set()
    return [_entry(row, labels.get(row["node"], ""), metric, slots, stride, top, used) for row in rows]


def _entry(
    row: Mapping[str, Any], label: str, metric: str, slots: Mapping[str, int], stride: int, top: int, used: set[str]
) -> dict[str, Any]:
    kind, position, place = row["kind"], row["position"] or 0, _place(row["site"])
    layer = str(top) if kind == LOGIT else "E" if row["layer"] is None else str(row["layer"])
    index: int | str = (row["atom"] or 0) + stride * slots.get(place, 0)
    feature = int(index)
    if kind == "atom":
        feature_type = "cross layer transcoder"
        feature = int(index) if layer == "E" else pair(int(layer), int(index))
    elif kind == "error":
        feature_type = f"{place.removesuffix('_out').removesuffix('_post') or 'mlp'} reconstruction error"
        index, feature = f"error_{place}", -1 - slots.get(place, 0)
    else:
        feature_type = kind if kind in (EMBEDDING, LOGIT) else "unknown"
    node_id = f"{layer}_{index}_{position}"
    if node_id in used:
        node_id = row["node"]
    used.add(node_id)
    clerp = with_probability(label, row) if label else unlabelled(row, metric)
    said = {name: value for name, value in row.items() if value is not None}
    if label_in(clerp, row, metric) != label:
        said["label"] = label
    return {
        "node_id": node_id,
        "feature": feature,
        "layer": layer,
        "ctx_idx": position,
        "feature_type": feature_type,
        "token_prob": (1.0 if row["probability"] is None else row["probability"]) if kind == LOGIT else 0.0,
        "is_target_logit": kind == LOGIT,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": f"{layer}_{index}-{position}",
        "clerp": clerp,
        "influence": row["influence"],
        "activation": row["activation"],
        OWN: said,
    }


def _place(site: str | None) -> str:
    """A site without its layer: resid_post.2 -> resid_post, head_out.3.1 -> head_out.1."""
    kind, _, rest = (site or "").partition(".")
    unit = rest.partition(".")[2]
    return f"{kind}.{unit}" if unit else kind


def unlabelled(row: Mapping[str, Any], metric: str) -> str:
    """What stands for the label of a node of ours that has none: its name, and for the answer what is measured."""
    if row["kind"] == LOGIT:
        return with_probability(metric or row["node"], row)
    return str(row["node"]).partition("@")[0]


def with_probability(label: str, row: Mapping[str, Any]) -> str:
    """The label of a logit ends in its probability: both front ends look for `(p=` in it, and fail where there is none."""
    if row["kind"] != LOGIT or "(p=" in label:
        return label
    return label + (NO_PROBABILITY if row["probability"] is None else f" (p={row['probability']:.3f})")


def label_in(clerp: str, row: Mapping[str, Any], metric: str | None) -> str:
    """The label that a file shows. `metric`: of a file of ours; None for one of others, where no text stands for no label."""
    if metric is not None and clerp == unlabelled(row, metric):
        return ""
    return clean(_PROBABILITY.sub("", clerp) if row["kind"] == LOGIT else clerp)


def own_row(said: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The row of a node that we wrote, checked: a file may come from anyone.

    Raises:
        GraphError: a value of another type than its column.
    """
    row: dict[str, Any] = {}
    for name, column in GRAPH_NODES.items():
        value = said.get(name)
        if value is None:
            if not column.nullable:
                raise GraphError(f"{where} has no {name}.")
            row[name] = None
        elif column.dtype == pl.String and isinstance(value, str):
            row[name] = clean(value)
        elif column.dtype == pl.Int32 and whole(value) and abs(value) <= LARGEST:
            row[name] = int(value)
        elif column.dtype == pl.Float64 and number(value):
            row[name] = float(value)
        else:
            expected = "a text" if column.dtype == pl.String else "a number"
            raise GraphError(f"{where}.{name} is {kind_of(value)}, but must be {expected}.")
    return row


def feature_ids(found: Sequence[Mapping[str, Any]], n_tokens: int) -> list[str]:
    """The id by which both front ends hide a node or label it anew: layer_feature_position."""
    layers = [
        float(each["layer"]) for each in found if each["feature_type"] != LOGIT and str(each["layer"]).isdecimal()
    ]
    top = f"{max(layers, default=0) + 1:g}"
    ids = []
    for each in found:
        feature = "null" if each["feature"] is None else int(each["feature"])
        place = f"{top if each['feature_type'] == LOGIT else each['layer']}_{feature}_{int(each['ctx_idx'])}"
        ids.append(f"{place}__err_idx_{n_tokens - int(each['ctx_idx'])}" if "error" in each["feature_type"] else place)
    return ids
