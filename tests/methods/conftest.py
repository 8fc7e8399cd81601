"""The bundled model and one of its dictionaries, loaded once."""

from __future__ import annotations

import polars as pl
import pytest
import torch

import interp_widgets as iw

IOI = "when mary and john went to the store , john gave a drink to"
IOI_CORRUPT = "when mary and john went to the store , mary gave a drink to"


@pytest.fixture(scope="session")
def toy() -> iw.Session:
    torch.set_num_threads(1)
    return iw.load("toy-grammar")


@pytest.fixture(scope="session")
def toy_sae():
    return iw.load_sae("toy-grammar/resid_post.2")


def without_values() -> iw.Session:
    """A model whose architecture was given by hand, without its queries, keys and values."""
    from dataclasses import replace

    from interp_widgets.session.architectures import TABLE
    from tests.session import tiny

    row = replace(TABLE["llama"], qkv=None)
    return iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer(), architecture=row)


def tiny_session(variant: str) -> iw.Session:
    """A session on a tiny random model of an architecture."""
    from tests.session import tiny

    return iw.load(tiny.model(variant), tokenizer=tiny.tokenizer())


def some_pairs() -> pl.DataFrame:
    """Six pairs of one template on six names, which toy-grammar gets right."""
    names = ["mary", "john", "anna", "tom", "sarah", "paul"]
    rows = []
    for a, b in zip(names, names[1:] + names[:1], strict=True):
        start = f"when {a} and {b} went to the store ,"
        rows.append((f"{start} {b} gave a drink to", f"{start} {a} gave a drink to", a, b))
    return pl.DataFrame(rows, schema=["clean", "corrupt", "answer", "foil"], orient="row")
