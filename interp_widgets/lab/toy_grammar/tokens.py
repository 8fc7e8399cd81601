"""Words to ids: the tokenizer of toy-grammar."""

from __future__ import annotations

from functools import cache

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from . import grammar

PAD, START, STOP = 0, 1, 2


@cache
def ids() -> dict[str, int]:
    """The id of each word."""
    return {word: number for number, word in enumerate(grammar.vocabulary())}


def tokenizer() -> PreTrainedTokenizerFast:
    """Splits lower-cased text at spaces and punctuation, and puts `<s>` in front."""
    fast = Tokenizer(models.WordLevel(ids(), unk_token="<unk>"))
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", START)])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )


def encode(text: str) -> tuple[list[int], list[int]]:
    """A marked sentence as (ids with `<s>` and `</s>`, at which of them the answers stand)."""
    words, answers = grammar.parse(text)
    return [START, *(ids()[word] for word in words), STOP], [answer + 1 for answer in answers]
