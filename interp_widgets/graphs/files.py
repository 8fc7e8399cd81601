"""Files of circuit graphs, told apart by their endings."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import GraphError
from ..writing import replacing
from .annotations import annotation_lines
from .circuit_tracer import read_content, to_content
from .graph import Graph

MOST_BYTES = 512 * 2**20
"""Larger files are not read; Neuronpedia takes 100 MiB."""
_FORMATS = ".json (circuit-tracer and Neuronpedia), .pt (Sparse Feature Circuits)"


def read_graph(source: str | Path | Mapping[str, Any]) -> Graph:
    """A circuit graph out of a file; the model that it is of is not needed.

    Files may come from anyone: no code in them is run, and text stays text. `Graph.notes` says what the reader should know of the
    file, such as links that lead to no node.

    Args:
        source: a file `.json` as circuit-tracer and Neuronpedia write it, or `.pt` as the code of Sparse Feature Circuits saves a
            circuit; or the content of the former as a dict.

    Raises:
        GraphError: no such file, another ending, a file that is too large, or one that does not hold what it should; the sentence
            says where.
    """
    try:
        if isinstance(source, Mapping):
            return read_content(copy.deepcopy(dict(source)), "The graph")
        file = Path(source).expanduser()
        if file.suffix == ".jsonl":
            raise GraphError(
                f"{file} holds annotations of atoms and no graph; read a graph and call its annotated({str(file)!r})."
            )
        if file.suffix not in (".json", ".pt"):
            raise GraphError(f"{file.name} is no graph file: its ending must be {_FORMATS}.")
        if (size := file.stat().st_size) > MOST_BYTES:
            raise GraphError(f"{file} has {size:,} bytes; {MOST_BYTES:,} are read at most.")
        if file.suffix == ".json":
            return read_content(_json(file), str(file))
        from .feature_circuits import read_circuit

        return read_circuit(file)
    except OSError as error:
        raise GraphError(f"{source} cannot be read: {error.strerror or error}.") from error
    except RecursionError as error:
        raise GraphError("The graph is nested too deeply to be read; one of circuit-tracer has five levels.") from error


def write(graph: Graph, file: Path) -> Path:
    """See `Graph.save`."""
    try:
        with replacing(file) as beside:
            if file.suffix == ".json":
                beside.write_text(_dumped(to_content(graph, file.stem)), encoding="utf-8")
            elif file.suffix == ".jsonl":
                beside.write_text(annotation_lines(graph), encoding="utf-8")
            elif file.suffix == ".pt":
                from .feature_circuits_writing import write_circuit

                write_circuit(graph, beside)
            else:
                raise GraphError(f"{file.name} says no format: end it with {_FORMATS} or .jsonl (labels alone).")
    except OSError as error:
        raise GraphError(f"{file} cannot be written: {error.strerror or error}.") from error
    return file


def _json(file: Path) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such, and an integer of too many digits
        raise GraphError(f"{file} cannot be read as JSON: {error}.") from error


def _dumped(content: dict[str, Any]) -> str:
    try:
        return json.dumps(content, allow_nan=False)
    except ValueError as error:
        raise GraphError("The graph has a number that is not finite, which JSON does not have.") from error
    except RecursionError as error:
        raise GraphError("What the graph keeps of its file is nested too deeply to be written.") from error
