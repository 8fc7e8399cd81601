"""The columns: one polars schema per kind of result, in this one place.

Every method returns a checked frame. A column has one name everywhere; tokens are keyed by position and id, never by
their text, since two ids may have equal text.
"""

from __future__ import annotations

from .agreement import AGREEMENT as AGREEMENT
from .agreement import AGREEMENT_SUMMARY as AGREEMENT_SUMMARY
from .agreement import AGREEMENT_TOKENS as AGREEMENT_TOKENS
from .atoms import ATOM_ABLATION as ATOM_ABLATION
from .atoms import ATOM_EFFECTS as ATOM_EFFECTS
from .atoms import ATOM_SEARCH as ATOM_SEARCH
from .atoms import ATOMS as ATOMS
from .atoms import DIRECT_LOGITS as DIRECT_LOGITS
from .atoms import RECONSTRUCTION as RECONSTRUCTION
from .atoms import SIMILAR_ATOMS as SIMILAR_ATOMS
from .atoms import STRONGEST_EFFECTS as STRONGEST_EFFECTS
from .audit import AUDIT as AUDIT
from .audit import CONCEPT_DIRECTIONS as CONCEPT_DIRECTIONS
from .audit import CONTEXT_EFFECTS as CONTEXT_EFFECTS
from .audit import CONTEXT_SUMMARY as CONTEXT_SUMMARY
from .audit import FAITHFULNESS as FAITHFULNESS
from .audit import SPLITTING as SPLITTING
from .audit import TRAINING as TRAINING
from .circuits import CIRCUIT_CHANGE as CIRCUIT_CHANGE
from .circuits import CIRCUIT_CHANGE_SUMMARY as CIRCUIT_CHANGE_SUMMARY
from .circuits import CIRCUIT_CHECK as CIRCUIT_CHECK
from .circuits import CIRCUIT_EDGE_KINDS as CIRCUIT_EDGE_KINDS
from .circuits import CIRCUIT_EDGES as CIRCUIT_EDGES
from .circuits import CIRCUIT_FAITHFULNESS as CIRCUIT_FAITHFULNESS
from .circuits import CIRCUIT_NODES as CIRCUIT_NODES
from .circuits import CIRCUIT_PREDICTION as CIRCUIT_PREDICTION
from .circuits import GRAPH_EDGES as GRAPH_EDGES
from .circuits import GRAPH_NODES as GRAPH_NODES
from .corpus import ATOM_EVENTS as ATOM_EVENTS
from .corpus import ATOM_EXAMPLES as ATOM_EXAMPLES
from .corpus import ATOM_HISTOGRAM as ATOM_HISTOGRAM
from .corpus import CORPUS_ATOMS as CORPUS_ATOMS
from .corpus import CORPUS_LISTS as CORPUS_LISTS
from .corpus import CORPUS_TEXTS as CORPUS_TEXTS
from .corpus import CORPUS_TOKENS as CORPUS_TOKENS
from .corpus import CORPUS_VOCABULARY as CORPUS_VOCABULARY
from .corpus import TOKEN_ATOMS as TOKEN_ATOMS
from .patching import ATOM_PATCHING as ATOM_PATCHING
from .patching import ATTRIBUTION as ATTRIBUTION
from .patching import PAIR_EFFECTS as PAIR_EFFECTS
from .patching import PAIR_SUMMARY as PAIR_SUMMARY
from .patching import PATCHING as PATCHING
from .patching import PATH_PATCHING as PATH_PATCHING
from .patching import STEERED_TEXT as STEERED_TEXT
from .patching import STEERING as STEERING
from .reading import ATTENTION as ATTENTION
from .reading import CONTINUATIONS as CONTINUATIONS
from .reading import HEADS as HEADS
from .reading import LENS as LENS
from .reading import LENS_LINES as LENS_LINES
from .reading import PREDICTIONS as PREDICTIONS
from .recorded import RECORDED as RECORDED
from .schema import TOKENS as TOKENS
from .schema import Column as Column
from .schema import Schema as Schema
from .schema import build as build
from .schema import check as check
from .server import REMOTE_JOBS as REMOTE_JOBS
from .server import SERVED_MODELS as SERVED_MODELS
from .shift import SHIFT_ACCURACY as SHIFT_ACCURACY
from .shift import SHIFT_EFFECTS as SHIFT_EFFECTS
from .shift import SHIFT_TEXTS as SHIFT_TEXTS
