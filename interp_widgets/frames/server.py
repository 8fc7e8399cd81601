"""What a server has, and what was asked of it."""

from __future__ import annotations

import polars as pl

from .schema import Column, Schema

SERVED_MODELS: Schema = {
    "model": Column(pl.String, "what to give iw.load: the id on the hub, or a directory that the server sees"),
    "revision": Column(pl.String, "branch or commit of it"),
    "task": Column(pl.String, "what it was deployed for, such as text-generation", nullable=True),
    "level": Column(pl.String, "HOT: on an accelerator; WARM: in memory; COLD: downloaded"),
    "state": Column(pl.String, "RUNNING, DEPLOYING or UNHEALTHY; of several replicas the best; null if COLD", nullable=True),
    "replicas": Column(pl.Int32, "how many of it are HOT"),
    "dtype": Column(pl.String, "type of its weights there", nullable=True),
    "parameters": Column(pl.Int64, "number of parameters", nullable=True),
    "bytes": Column(pl.Int64, "what it takes on the accelerator", nullable=True),
    "layers": Column(pl.Int32, "number of layers", nullable=True),
    "width": Column(pl.Int32, "size of the residual stream", nullable=True),
    "model_type": Column(pl.String, "family, as transformers names it", nullable=True),
    "known": Column(pl.Boolean, "whether iw.load knows where this family keeps its activations"),
}  # fmt: skip
"""Models of a server: one row a deployment."""

REMOTE_JOBS: Schema = {
    "job": Column(pl.String, "its id on the server; what iw.resume takes"),
    "time": Column(pl.Datetime("us", "UTC"), "when it was sent"),
    "host": Column(pl.String, "address of the server"),
    "model": Column(pl.String, "model, as it was given to iw.load"),
    "panel": Column(pl.String, "class of the panel that asked; null for a plain call", nullable=True),
    "prompt": Column(pl.String, "beginning of the panel's text; null for a plain call", nullable=True),
    "work": Column(pl.String, "what it does"),
    "state": Column(pl.String, "as last heard: received, queued, running, completed, error, left"),
    "seconds": Column(pl.Float64, "how long the server worked on it", nullable=True),
    "up": Column(pl.Int64, "bytes sent"),
    "down": Column(pl.Int64, "bytes fetched"),
}  # fmt: skip
"""Requests to servers: one row a job, the newest first."""
