"""The text of each token is exact, whatever the kind of tokenizer; texts that cannot be read are refused with a sentence."""

from __future__ import annotations

import codecs
import json

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import interp_widgets as iw
from interp_widgets.errors import TextError
from interp_widgets.session.tokens import TokenTexts
from tests.session import tiny

torch.set_num_threads(1)

CORPUS = [
    "The cat sat on the mat. The dog sat on the log.",
    "def f(x):\n\treturn x + 1\n\n\n",
    "  two  spaces   three",
    "naïve café",
] * 4
TEXTS = {
    "plain": "The cat sat.",
    "leading space": " The cat",
    "many spaces": "a  b   c    ",
    "only spaces": "   ",
    "newlines": "one\ntwo\n\nthree\r\n",
    "tabs": "\tif x:\n\t\treturn\t",
    "accents": "naïve café Ångström",
    "combining": "e\u0301 and \u200d joined",
    "CJK": "東京は日本の首都です。",
    "emoji": "ok 🙂👩‍👩‍👧 🇳🇱 end",
    "Arabic": "مرحبا بالعالم",
    "control": "a\x00b\x7fc\u00ad",
    "marks": '\\xe2 "quoted" <|x|> \\n',
}


def special(tokenizer):
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("<|im_end|>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>")


@pytest.fixture(scope="module")
def byte_level():
    """As GPT-2, Llama 3 and SmolLM2: every byte is a printable character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*CORPUS, "東京 東京 東京 🙂🙂🙂"], trainer)
    return special(tokenizer)


@pytest.fixture(scope="module")
def metaspace():
    """As Llama 2 and Gemma: ▁ for a space, <0xE2> for a byte of a character that is not in the vocabulary."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", *bytes_], show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    spec = json.loads(tokenizer.to_str())
    spec[
        "added_tokens"
    ] = []  # training makes the bytes special; SentencePiece has them as plain entries of the vocabulary
    return special(Tokenizer.from_str(json.dumps(spec)))


@pytest.fixture(scope="module")
def unigram():
    """As T5 and XLNet: a Unigram model behind Metaspace."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return special(tokenizer)


def pieces(tokenizer, text):
    texts = TokenTexts(tokenizer)
    return [texts[i] for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def rejoined(tokenizer, text):
    r"""The text again, from pieces in which a part of a character is written \xe2 and all else stands for itself."""
    ids, texts = tokenizer(text, add_special_tokens=False)["input_ids"], TokenTexts(tokenizer)
    raw = [codecs.escape_decode(texts[i])[0] if partial(tokenizer, i) else texts[i].encode() for i in ids]
    return b"".join(raw).decode()


def partial(tokenizer, token_id):
    return "\ufffd" in tokenizer.decode([token_id])


# byte level


@pytest.mark.parametrize("name", TEXTS)
def test_byte_level_pieces_give_back_the_text(byte_level, name):
    assert rejoined(byte_level, TEXTS[name]) == TEXTS[name]


@pytest.mark.parametrize("name", ["plain", "leading space", "many spaces", "only spaces", "newlines", "tabs", "marks"])
def test_byte_level_pieces_of_whole_characters_just_join(byte_level, name):
    assert "".join(pieces(byte_level, TEXTS[name])) == TEXTS[name]


def test_byte_level_keeps_learnt_spaces(byte_level):
    assert " sat" in pieces(byte_level, "The cat sat on")


def test_byte_level_parts_of_a_character_are_escapes(byte_level):
    assert pieces(byte_level, "𝄞") == ["\\xf0", "\\x9d", "\\x84", "\\x9e"]


def test_byte_level_every_id_has_a_text_that_can_be_told_apart(byte_level):
    texts = TokenTexts(byte_level)
    every = [texts[i] for i in range(len(byte_level))]
    assert len(set(every)) == len(every)


# SentencePiece


WRITTEN = [name for name in TEXTS if name != "marks"]


@pytest.mark.parametrize("name", WRITTEN)
def test_metaspace_pieces_give_back_the_text(metaspace, name):
    assert rejoined(metaspace, TEXTS[name]) == TEXTS[name]


def test_metaspace_keeps_learnt_spaces(metaspace):
    assert "".join(pieces(metaspace, "The cat  sat")) == "The cat  sat"
    assert any(piece.startswith(" ") for piece in pieces(metaspace, "The cat sat"))


def test_metaspace_parts_of_a_character_are_escapes(metaspace):
    assert pieces(metaspace, "東") == ["\\xe6", "\\x9d", "\\xb1"]


def test_metaspace_bytes_that_are_a_character_are_that_character(metaspace):
    texts = TokenTexts(metaspace)
    assert [texts[metaspace.convert_tokens_to_ids(t)] for t in ("<0x0A>", "<0x09>", "<0x41>")] == ["\n", "\t", "A"]


@pytest.mark.parametrize("text", ["The cat sat on the mat.", " a dog", "two  spaces   three"])
def test_unigram_pieces_join(unigram, text):
    assert "".join(pieces(unigram, text)) == text


def test_two_ids_of_one_text_stay_two_rows(metaspace):
    """The byte 0x41 and the letter A read alike; only the ids tell them apart."""
    texts = TokenTexts(metaspace)
    byte, letter = metaspace.convert_tokens_to_ids("<0x61>"), metaspace.convert_tokens_to_ids("a")
    assert byte != letter
    assert texts[byte] == texts[letter] == "a"


# special tokens and holes


@pytest.mark.parametrize("kind", ["byte_level", "metaspace", "unigram"])
def test_special_tokens_are_exact(kind, request):
    tokenizer = request.getfixturevalue(kind)
    found = pieces(tokenizer, "<s> The<|im_end|>")
    assert (found[0], found[-1]) == ("<s>", "<|im_end|>")
    assert "".join(found[1:-1]) == " The"


def test_an_id_that_only_the_model_has_says_so(byte_level):
    assert TokenTexts(byte_level)[5000] == "<id 5000>"


def test_words_stand_for_themselves():
    tokenizer = tiny.tokenizer()
    assert pieces(tokenizer, "w3 w99 nowhere") == ["w3", "w99", "<unk>"]


# a session


@pytest.fixture(scope="module")
def toy():
    return iw.load("toy-grammar")


def test_toy_grammar_tokens(toy):
    frame = toy.tokens("The keys are on the table.")
    assert frame["token"].to_list() == ["<s>", "the", "keys", "are", "on", "the", "table", "."]
    assert frame["position"].to_list() == list(range(8))
    assert frame["token_id"].to_list() == toy.encode("The keys are on the table.")
    assert frame["token_id"][1] == frame["token_id"][5]


def test_every_toy_grammar_token_has_its_word(toy):
    words = {i: word for word, i in toy.tokenizer.get_vocab().items()}
    assert {i: toy.text_of(i) for i in words} == words


def test_ids_pass_through(toy):
    assert toy.encode([1, 5, 6]) == [1, 5, 6]
    assert toy.tokens([1, 5])["token_id"].to_list() == [1, 5]


def test_markers_are_special_and_words_are_not(toy):
    assert [toy.is_special(i) for i in toy.encode("the keys")] == [True, False, False]


@pytest.mark.parametrize("text", ["", []])
def test_an_empty_text_is_refused(toy, text):
    with pytest.raises(TextError, match=r"The text is empty.*Type at least one character"):
        toy.encode(text)


def test_only_spaces_is_a_text_of_the_marker_alone(toy):
    assert toy.tokens("   ")["token"].to_list() == ["<s>"]


def test_only_spaces_where_that_is_no_token_is_refused():
    session = iw.load(tiny.model("llama"), tokenizer=tiny.tokenizer())
    with pytest.raises(TextError, match=r"no tokens|is empty"):
        session.encode("   ")


def test_the_longest_text_is_read(toy):
    assert toy.read([1] * 64, ["resid_post.0"])["resid_post.0"].shape == (64, 128)


def test_a_text_that_is_too_long_says_by_how_much(toy):
    with pytest.raises(TextError, match=r"has 67 tokens and toy-grammar reads at most 64\. Shorten it by 3 tokens"):
        toy.encode("the " * 66)


@pytest.mark.parametrize("token_id", [573, -1, 10**6])
def test_an_id_that_does_not_exist_is_refused(toy, token_id):
    with pytest.raises(TextError, match=rf"Token id {token_id} does not exist; toy-grammar has ids 0 to 572"):
        toy.encode([1, token_id])


@pytest.mark.parametrize("token_id", [573, -1])
def test_a_single_token_given_as_an_id_must_exist(toy, token_id):
    with pytest.raises(TextError, match=f"Token id {token_id} does not exist"):
        toy.single_token(token_id)


def test_a_word_that_the_vocabulary_lacks_is_no_answer(toy):
    with pytest.raises(TextError, match="The answer 'sara' is no word of toy-grammar's vocabulary"):
        toy.single_token("sara", role="answer")
    assert toy.single_token(toy.tokenizer.unk_token) == toy.tokenizer.unk_token_id


def test_a_single_token(toy):
    assert toy.single_token("keys") == toy.encode("keys")[-1]
    assert toy.single_token(7) == 7


def test_several_tokens_are_shown(toy):
    with pytest.raises(
        TextError, match=r"The answer 'the keys' must be exactly one token, but it is 2: 'the', 'keys'\.$"
    ):
        toy.single_token("the keys", role="answer")


def test_no_token_at_all_is_said(toy):
    with pytest.raises(TextError, match="must be exactly one token, but it is 0: no tokens"):
        toy.single_token("")


@pytest.fixture(scope="module")
def spaced(byte_level):
    return iw.load(tiny.model("llama", vocab_size=400), tokenizer=byte_level)


def test_a_leading_space_is_suggested_where_it_helps(spaced):
    assert spaced.single_token(" sat")
    with pytest.raises(TextError, match=r"'sat' must be exactly one token.*With a space in front, ' sat' is one token"):
        spaced.single_token("sat")


def test_no_space_is_suggested_where_it_does_not_help(spaced):
    with pytest.raises(TextError) as caught:
        spaced.single_token("zebra crossing")
    assert "space in front" not in str(caught.value)


def test_pieces_of_a_character_are_shown_as_escapes(spaced):
    with pytest.raises(TextError, match=r"but it is 4: '\\\\xf0'"):
        spaced.single_token("𝄞")


# SmolLM2


@pytest.fixture(scope="module")
def smol(smollm2):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2)


@pytest.mark.smollm2
@pytest.mark.parametrize("name", TEXTS)
def test_smollm2_pieces_give_back_the_text(smol, name):
    assert rejoined(smol, TEXTS[name]) == TEXTS[name]


@pytest.mark.smollm2
def test_smollm2_pieces_of_whole_characters_just_join(smol):
    text = "The Eiffel Tower\n\n  is in  Paris.\t<|im_end|>\n"
    assert "".join(pieces(smol, text)) == text


@pytest.mark.smollm2
def test_smollm2_shows_spaces_newlines_and_markers(smol):
    assert pieces(smol, " Paris") == [" Paris"]
    assert pieces(smol, "<|im_start|>user\n") == ["<|im_start|>", "user", "\n"]


@pytest.mark.smollm2
def test_smollm2_parts_of_a_character_are_escapes(smol):
    found = pieces(smol, "𓀀")
    assert len(found) > 1
    assert codecs.escape_decode("".join(found))[0].decode() == "𓀀"
