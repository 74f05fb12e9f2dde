"""Byte-level BPE of a checkpoint: the library's tokens for text, and never a silent loss."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus.core.errors import ConfigError, InputError
from paribus.tokenizer.byte_level import ByteLevelBPE, byte_letters

tokenizers = pytest.importorskip("tokenizers")


def described(without=(), **changes):
    letters = [letter for byte, letter in enumerate(byte_letters()) if byte not in without]
    vocab = {"<end>": 0, **{letter: i + 1 for i, letter in enumerate(letters)}}
    merges = [["t", "h"], ["th", "e"], ["Ġ", "the"]]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    cut = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    told = {
        "version": "1.0",
        "added_tokens": [
            {"id": 0, "content": "<end>", "special": True, "normalized": False}
            | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        ],
        "normalizer": None,
        "pre_tokenizer": cut,
        "decoder": cut,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges},
    }
    return json.dumps(told | changes)


WHOLE = ByteLevelBPE(described())


@given(st.binary(max_size=60))
def test_all_bytes_come_back(data):
    assert WHOLE.decode(WHOLE.encode(data)) == data


@given(st.text(max_size=60))
def test_text_becomes_the_tokens_of_the_library(text):
    library = tokenizers.Tokenizer.from_str(described())
    library.encode_special_tokens = True
    assert WHOLE.encode(text.encode()).tolist() == library.encode(text, add_special_tokens=False).ids


def test_the_letters_are_those_of_the_library():
    assert sorted(byte_letters()) == sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert len(set(byte_letters())) == 256


def test_merges_and_special_tokens():
    assert len(WHOLE.encode(b" the")) == 1
    assert 0 not in WHOLE.encode(b"<end>").tolist(), "letters in a text are no special token"
    assert WHOLE.decode([0]) == b"<end>"


def test_a_byte_without_a_token_is_an_error_and_not_a_loss():
    some = ByteLevelBPE(described(without={0x07, 0xFF}))
    assert some.decode(some.encode(b"bell")) == b"bell"
    with pytest.raises(InputError, match="byte 0x07 at 2, for which"):
        some.encode(b"ab\x07")


def test_ids_that_are_none():
    with pytest.raises(ConfigError, match=r"token 260: the vocabulary has ids 0 to 259"):
        WHOLE.decode([1, 260])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"type": "Unigram"}}, "is Unigram with the decoder ByteLevel"),
        ({"decoder": {"type": "Metaspace"}}, "with the decoder Metaspace"),
        ({"normalizer": {"type": "NFC"}}, r"normalises text \(NFC\)"),
    ],
)
def test_other_kinds_are_refused(changes, told):
    with pytest.raises(InputError, match=told):
        ByteLevelBPE(described(**changes))


def test_a_damaged_file():
    with pytest.raises(InputError, match=r"tokenizer\.json is damaged"):
        ByteLevelBPE("{")


def test_what_stands_before_every_text():
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<end>": {"id": "<end>", "ids": [0], "tokens": ["<end>"]}},
    }
    assert WHOLE.begin == ()
    assert ByteLevelBPE(described(post_processor=template)).begin == (0,)


def test_no_text_is_cut_and_none_padded():
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    pad = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    pad |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "<end>"}
    assert len(ByteLevelBPE(described(truncation=cut, padding=pad)).encode(b"xyz")) == 3


def test_ids_with_gaps():
    told = json.loads(described())
    told["model"]["vocab"]["the"] = 1000
    codec = ByteLevelBPE(json.dumps(told))
    assert codec.vocab_size == 1001
    assert codec.encode(b"the").tolist() == [1000]
    assert codec.decode([1000, 999]) == b"the"


def test_files_of_another_form():
    with pytest.raises(InputError, match="holds no JSON object"):
        ByteLevelBPE("[]")
    with pytest.raises(InputError, match=r"tokenizer\.json cannot be read \(.*download it again"):
        ByteLevelBPE(described(pre_tokenizer={"type": "Strange"}))
    assert ByteLevelBPE(described(normalizer={"type": "Sequence", "normalizers": []})).encode(b"A").size == 1
