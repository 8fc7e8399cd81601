"""What every script begins with: the model, its parts by name, and the text of a token."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..session import Session

_BYTES = '''
kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]  # GPT-2's alphabet for bytes
byte_of = {chr(b): b for b in kept} | {chr(0x100 + i): b for i, b in enumerate(b for b in range(256) if b not in kept)}


def text(token_id):
    """Exact text of one token."""
    piece = tokenizer.convert_ids_to_tokens(token_id)
    if any(c not in byte_of for c in piece):
        return piece
    return bytes(byte_of[c] for c in piece).decode(errors="backslashreplace")'''

_PIECES = '''

def text(token_id):
    """Exact text of one token."""
    return tokenizer.convert_ids_to_tokens(token_id)'''

_METASPACE = _PIECES + '.replace("▁", " ")'


_PRETRAINED = """from transformers import AutoModelForCausalLM, AutoTokenizer

source = {where!r}
tokenizer = AutoTokenizer.from_pretrained(source)
module = AutoModelForCausalLM.from_pretrained(source, dtype=torch.{dtype}, attn_implementation="eager").to({device!r})
"""

_SERVED = """from transformers import AutoTokenizer

source = {where!r}  # on a server: no weights are loaded here
tokenizer = AutoTokenizer.from_pretrained(source)
"""

_SHARED = """from nnsight.modeling import huggingface

huggingface._ID_CACHE[source] = source  # a directory that the server sees too, not to be asked for on the hub
"""

_MODADD = """
from interp_widgets.lab import modadd  # the architecture of this model is the package's own

module, tokenizer = modadd.load({where!r})
"""


def loading(session: Session, title: str) -> str:
    """The head of a script."""
    style = {"bytes": _BYTES, "metaspace": _METASPACE, "words": _PIECES}[session.texts.style]
    return fill(session, "load.txt", title=title, loading=source(session), making=making(session), text_function=style)


def making(session: Session) -> str:
    """The lines that make nnsight's model and name its parts."""
    arch = session.architecture
    given = 'source, attn_implementation="eager"' if session.remote else "module"
    return (
        f'model = nnsight.TransformersModel({given}, tokenizer=tokenizer, task="text-generation")\n'
        f"layers, final_norm, head = model.{arch.layers}, model.{arch.final_norm}, model.{arch.head}"
    )


def source(session: Session) -> str:
    """The lines that say where the model comes from."""
    where, device = session.source, str(session.device)
    if session.remote:
        return _SERVED.format(where=where) + (_SHARED if Path(str(where)).is_dir() else "")
    if where is None:
        return "\nmodule, tokenizer = ..., ...  # the module and the tokenizer that you gave to iw.load\n"
    if session.model_type == "modadd":
        return _MODADD.format(where=where)
    return _PRETRAINED.format(where=where, dtype=session.dtype, device=device)


def as_comment(session: Session, ids: list[int]) -> str:
    """The prompt on one line, as a comment: `repr` keeps a newline in it from ending the comment."""
    return repr("".join(session.text_of(i) for i in ids))


def fill(session: Session, template: str, **values: Any) -> str:
    """A template with its blanks filled; traces of a model on a server go to that server."""
    text = Template(files(__package__).joinpath(template).read_text(encoding="utf-8"))
    return text.substitute(values, remote=f", remote={session.remote!r}" if session.remote else "")
