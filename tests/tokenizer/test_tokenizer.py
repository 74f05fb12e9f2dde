import math
import pickle
import random
import subprocess
import sys
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paribus import Tokenizer
from paribus.core.errors import ConfigError, InputError
from paribus.tokenizer import reference
from paribus.tokenizer.reference import Reference
from paribus.tokenizer.text import compose
from paribus.tokenizer.vocabulary import Vocabulary

MakeTexts = Callable[[int, int, int], list[bytes]]

some_bytes = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text("ab \n的", max_size=120).map(str.encode),
    st.lists(st.sampled_from([b"import ", b"numpy", b"\n", b"\n\n", b"the ", b"\xff", b"a" * 40]), max_size=20).map(
        b"".join
    ),
)


def twin(tokenizer: Tokenizer) -> Reference:
    return Reference(tokenizer.pieces, tokenizer.vocabulary.scores.tolist())


@settings(deadline=None)
@given(some_bytes)
@example(b"")
@example(b"\n")
@example(b"a" * 1000)
def test_nothing_is_lost_and_the_twin_agrees(mixed: Tokenizer, data: bytes) -> None:
    ids = mixed.encode(data)
    assert ids.dtype == np.uint32
    assert mixed.decode(ids) == data
    assert ids.tolist() == twin(mixed).encode(data)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_native_is_the_twin_on_any_vocabulary(data: st.DataObject) -> None:
    alphabet = st.sampled_from(b"ab\n\x80")
    longer = data.draw(st.sets(st.lists(alphabet, min_size=2, max_size=7).map(bytes), max_size=30))
    pieces = [bytes([b]) for b in range(256)] + sorted(longer)
    # Small halves: sums are exact and equal ones frequent, so that ties are met.
    scores = data.draw(st.lists(st.integers(1, 6), min_size=len(pieces), max_size=len(pieces)))
    values = -np.array(scores) / 2
    own = Tokenizer.from_vocabulary(Vocabulary(pieces, values, np.zeros(len(pieces), dtype=np.uint64), specials={}))
    reference = Reference(pieces, values.tolist())
    text = data.draw(st.lists(alphabet, max_size=60).map(bytes))
    assert own.encode(text).tolist() == reference.encode(text)
    for alpha in (0.0, 0.7, 3.0):
        assert own.sample(text, alpha, seed=5, document=3).tolist() == reference.sample(text, alpha, 5, 3)


@settings(deadline=None)
@given(some_bytes, st.sampled_from([0.0, 0.1, 1.0, 5.0]), st.integers(0, 2**64 - 1))
def test_samples_are_the_twins(mixed: Tokenizer, data: bytes, alpha: float, seed: int) -> None:
    drawn = mixed.sample(data, alpha, seed)
    assert drawn.tolist() == twin(mixed).sample(data, alpha, seed)
    assert mixed.decode(drawn) == data


@pytest.mark.parametrize("alpha", [0.0, 0.5, 40.0, 400.0, 2000.0])
def test_sampling_never_leaves_the_range_of_doubles(small: Tokenizer, alpha: float) -> None:
    rng = random.Random(1)
    data = bytes(rng.choices(range(256), k=700)) + b"a" * 700 + b"import os, sys" * 40
    drawn = small.sample(data, alpha, seed=1)
    assert small.decode(drawn) == data
    assert drawn.tolist() == twin(small).sample(data, alpha, 1)


def test_sampled_marginals_are_the_exact_ones(small: Tokenizer) -> None:
    text, alpha, n = b"def parse(self, name):\n    return self", 0.5, 3000
    drawn: Counter[tuple[int, int]] = Counter()
    for ids in small.sample_batch([text] * n, alpha, seed=11):
        ends = np.cumsum([len(small.pieces[i]) for i in ids])
        drawn.update(zip(ends.tolist(), ids.tolist()))
    expected = small.marginals(text, alpha)
    assert set(drawn) <= {(m.end, m.id) for m in expected}
    for m in expected:
        sigma = math.sqrt(n * m.probability * (1 - m.probability)) + 1
        assert abs(drawn[m.end, m.id] - n * m.probability) < 5 * sigma


def test_marginals_and_entropy_are_those_of_the_n_best(mixed: Tokenizer) -> None:
    text = b"the of\nab"
    every = mixed.nbest(text, 10_000)
    assert len(every) < 10_000
    assert every[0][1].tolist() == mixed.encode(text).tolist()
    assert [score for score, _ in every] == sorted((score for score, _ in every), reverse=True)
    assert len({tuple(ids.tolist()) for _, ids in every}) == len(every)
    for alpha in (0.0, 1.0, 2.0):
        weights = np.exp(alpha * np.array([score for score, _ in every]))
        p = weights / weights.sum()
        assert mixed.entropy(text, alpha) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-9)
        by_place: Counter[tuple[int, int]] = Counter()
        for (_, ids), weight in zip(every, p):
            ends = np.cumsum([len(mixed.pieces[i]) for i in ids]).tolist()
            for end, i in zip(ends, ids.tolist()):
                by_place[end, i] += weight  # type: ignore[assignment]
        for m in mixed.marginals(text, alpha):
            assert m.probability == pytest.approx(by_place[m.end, m.id], abs=1e-9)


def test_threads_change_nothing(mixed: Tokenizer, make_texts: MakeTexts) -> None:
    documents = [*make_texts(3, 23, 60), b"", b"\n"]
    one = [mixed.encode(text).tolist() for text in documents]
    for threads in (1, 2, 7):
        assert [ids.tolist() for ids in mixed.encode_batch(documents, threads)] == one
        drawn = mixed.sample_batch(documents, 0.5, seed=2, document=10, threads=threads)
        assert [ids.tolist() for ids in drawn] == [
            mixed.sample(text, 0.5, seed=2, document=10 + i).tolist() for i, text in enumerate(documents)
        ]
    with ThreadPoolExecutor(4) as pool:
        assert [ids.tolist() for ids in pool.map(mixed.encode, documents)] == one
    assert mixed.encode_batch([]) == []


@settings(deadline=None)
@given(st.lists(some_bytes, max_size=12))
def test_a_stream_gives_the_same_tokens(mixed: Tokenizer, parts: list[bytes]) -> None:
    encoder = mixed.encoder()
    for _ in range(2):  # it is ready for another document after the first
        found = [encoder.feed(part) for part in parts] + [encoder.finish()]
        assert np.concatenate(found).tolist() == mixed.encode(b"".join(parts)).tolist()


def test_a_long_line_streams_in_bounded_memory(small: Tokenizer) -> None:
    rng = random.Random(4)
    line = " ".join(rng.choices(["self", "import", "numpy", "x=1", "的", "()"], k=60_000)).encode()
    encoder = small.encoder()
    found, pending = [], 0
    for i in range(0, len(line), 997):
        found.append(encoder.feed(line[i : i + 997]))
        pending = max(pending, encoder.pending)
    found.append(encoder.finish())
    ids = np.concatenate(found)
    assert pending < 50_000 < len(line)
    assert ids.tolist() == small.encode(line).tolist() == twin(small).encode(line)


@pytest.mark.parametrize("line", [b"a" * 70_001, b"^" * 70_001, b"ab" * 40_000, bytes(range(256)) * 300])
def test_long_runs(mixed: Tokenizer, line: bytes) -> None:
    data = line.replace(b"\n", b"")
    ids = mixed.encode(data)
    assert mixed.decode(ids) == data
    assert ids.tolist() == twin(mixed).encode(data)


@settings(deadline=None)
@given(st.text(max_size=50), st.integers(1, 5))
def test_a_decoder_gives_whole_characters(mixed: Tokenizer, text: str, step: int) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    ids = mixed.encode(text).tolist()
    decoder = mixed.decoder()
    parts = [decoder.feed(ids[i : i + step]) for i in range(0, len(ids), step)]
    assert "".join(parts) + decoder.finish() == text


def test_a_decoder_waits_for_the_rest_of_a_character(mixed: Tokenizer) -> None:
    first, second, third = (mixed.id_of(bytes([b])) for b in "的".encode())
    decoder = mixed.decoder()
    assert [decoder.feed(first), decoder.feed(second), decoder.feed(third)] == ["", "", "的"]
    decoder.feed(first)
    with pytest.raises(UnicodeDecodeError):
        decoder.finish()
    ids = mixed.encode("的的")
    decoder = mixed.decoder()
    assert "".join(decoder.feed(one) for one in ids) + decoder.finish() == "的的"  # numpy's numbers
    lenient = mixed.decoder(errors="replace")
    assert lenient.feed([first]) + lenient.finish() == "\ufffd"


def test_special_tokens_are_text_unless_allowed(mixed: Tokenizer) -> None:
    text = "ab<eos>ab<user>"
    plain = mixed.encode(text)
    assert mixed.id_of("<eos>") == 2 not in plain.tolist()
    assert mixed.decode_text(plain) == text
    more = mixed.with_specials(["<user>", "<eos>"])
    assert more.vocab_size == mixed.vocab_size + 1
    assert more.encode(text).tolist() == plain.tolist()
    allowed = more.encode(text, allowed=["<eos>", "<user>"])
    ab = mixed.encode("ab").tolist()
    assert allowed.tolist() == [*ab, 2, *ab, mixed.vocab_size]
    assert more.decode(allowed) == b"abab"
    batch = more.encode_batch([text, "", "<eos>", "ab"], threads=2, allowed=["<eos>", "<user>"])
    assert [ids.tolist() for ids in batch] == [allowed.tolist(), [], [2], ab]
    with pytest.raises(ConfigError, match="got a single one"):
        more.encode_batch(text, allowed=["<eos>"])
    with pytest.raises(ConfigError, match="did you mean <eos>"):
        mixed.encode(text, allowed=["<eod>"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["<x>", "<x>"], "'<x>' is named 2 times"),
        ("abc", "got 'abc': put it into a list"),
        (["<\ud800>"], "lone surrogate"),
        ([""], "not empty"),
        ([3], "special token 3"),
        ([b"<x>"], "special token b'<x>'"),
    ],
)
def test_impossible_special_tokens(mixed: Tokenizer, names: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mixed.with_specials(names)


def test_nfc_is_recorded_and_applied() -> None:
    texts = ["cafe\u0301 cafe\u0301 caf\xe9"] * 20
    off, on = (Tokenizer.train(texts, vocab_size=300, min_count=2, nfc=nfc) for nfc in (False, True))
    assert (off.nfc, on.nfc) == (False, True)
    assert off.decode_text(off.encode(texts[0])) == texts[0]
    assert on.decode_text(on.encode(texts[0])) == "caf\xe9 caf\xe9 caf\xe9"
    assert on.decode(on.encode(b"\xff")) == b"\xff"
    assert on.decode(on.encode("e\u0301".encode() + b"\xff\xc3" + "e\u0301".encode())) == b"\xc3\xa9\xff\xc3\xc3\xa9"
    with pytest.raises(ConfigError, match="NFC"):
        on.encoder()


text_and_others = st.lists(
    st.one_of(
        st.binary(max_size=3), st.sampled_from(["e", "\u0301", "\xe9", "\u1100\u1161", "\n", "\u212b"]).map(str.encode)
    )
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(text_and_others)
@example(b"\xe4\xb8")
@example(b"\xed\xa0\x80e\xcc\x81")
def test_stretches_of_text_are_composed_and_lines_apart(data: bytes) -> None:
    composed = compose(data)
    assert composed == reference.compose(data) == compose(composed)
    assert composed == b"".join(compose(line) for line in data.splitlines(keepends=True))
    with suppress(UnicodeDecodeError):
        assert composed.decode() == unicodedata.normalize("NFC", data.decode())


def test_training_composes_what_encoding_does() -> None:
    """A bad byte anywhere leaves the rest of its document as it is without it."""
    parts = [b"cafe\xcc\x81 ", b"caf\xc3\xa9 "]
    one, other = (
        Tokenizer.train([b"\xff" + part * 40], vocab_size=300, min_count=2, nfc=True).vocabulary for part in parts
    )
    assert one.pieces == other.pieces
    assert one.counts.tolist() == other.counts.tolist()


def test_strings_and_buffers(mixed: Tokenizer) -> None:
    for text in ("the 的", bytearray("the 的".encode()), memoryview("the 的".encode())):
        assert mixed.decode_text(mixed.encode(text)) == "the 的"  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"lone surrogate U\+D800 at 2"):
        mixed.encode("ab\ud800")
    with pytest.raises(ConfigError, match="got int"):
        mixed.encode(5)  # type: ignore[arg-type]


def test_numbers_are_no_text(mixed: Tokenizer) -> None:
    data = "the 的".encode()
    for same in (np.frombuffer(data, np.uint8), array("B", data), memoryview(data)[::1]):
        assert mixed.encode(same).tolist() == mixed.encode(data).tolist()  # type: ignore[arg-type]
    ids = mixed.encode(data)
    for wrong in (ids, ids.astype(float), ids[0], array("i", [1]), np.zeros((2, 2), np.uint8), np.uint8(65), ids > 0):
        with pytest.raises(ConfigError, match=r"expected text as str or bytes, got \w+ "):
            mixed.encode(wrong)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="expected text"):
            mixed.encode_batch([data, wrong])  # type: ignore[list-item]
        with pytest.raises(ConfigError, match="expected text"):
            mixed.encoder().feed(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            mixed._model.encode(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected text"):
        mixed.encode_batch(ids)  # type: ignore[arg-type]


def test_ids_out_of_range(mixed: Tokenizer) -> None:
    for wrong in ([mixed.vocab_size], [-1], [2**40]):
        with pytest.raises(ConfigError):
            mixed.decode(wrong)
    with pytest.raises(ConfigError, match="float64"):
        mixed.decode([0.5])  # type: ignore[list-item]
    assert mixed.decode([]) == b""
    assert mixed.decode([0, 1, 2]) == b""
    assert mixed.decode(np.array([100, 101], dtype=np.int16)) == bytes([97, 98])


@pytest.mark.parametrize("wrong", [-1, 2**64, 0.5, "1", None])
def test_impossible_places_of_random_numbers(mixed: Tokenizer, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="seed = "):
        mixed.sample("ab", 1.0, seed=wrong)
    with pytest.raises(ConfigError, match="document = "):
        mixed.sample_batch(["ab"], 1.0, seed=np.int64(3), document=wrong)


def test_one_text_is_no_batch(mixed: Tokenizer) -> None:
    for text in ("the of", b"the of"):
        with pytest.raises(ConfigError, match="list of texts"):
            mixed.encode_batch(text)
    with pytest.raises(ConfigError, match="into a list"):
        mixed.decode(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"n = 1\.5"):
        mixed.nbest("ab", 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("alpha", [-1.0, math.nan, math.inf, "much", 1e308, 1000001, np.complex64(1)])
def test_impossible_alpha(mixed: Tokenizer, alpha: Any) -> None:
    for call in (mixed.entropy, mixed.marginals, lambda text, alpha: mixed.sample(text, alpha, seed=0)):
        with pytest.raises(ConfigError, match=r"alpha = .*: expected a number of \[0, 1000000\]"):
            call("ab", alpha)


def test_save_load_and_pickle(mixed: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "m.bp"
    mixed.save(path)
    text = "the of and 的\n"
    for again in (Tokenizer.load(path), pickle.loads(pickle.dumps(mixed))):
        assert again.encode(text).tolist() == mixed.encode(text).tolist()
        assert again.specials == mixed.specials
        assert again.training == mixed.training
    assert list(tmp_path.iterdir()) == [path]


def test_the_tokenizer_loads_no_torch() -> None:
    code = "import sys, paribus.tokenizer.bytepiece; from paribus import Tokenizer; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(st.binary(max_size=40), st.text("ab \n的the of", max_size=30).map(str.encode)),
    st.integers(1, 7),
    st.sampled_from([0.0, 0.3, 1.0, 4.0]),
)
def test_the_native_lattice_is_the_twins(mixed: Tokenizer, data: bytes, n: int, alpha: float) -> None:
    twin = mixed.lattice(data)
    assert [(score, ids.tolist()) for score, ids in mixed.nbest(data, n)] == twin.nbest(n)
    found, expected = mixed.marginals(data, alpha), twin.marginals(alpha)
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    assert [one.probability for one in found] == pytest.approx([one.probability for one in expected], abs=1e-12)
    assert mixed.entropy(data, alpha) == pytest.approx(twin.entropy(alpha), abs=1e-9)


def test_the_lattice_of_ties(small: Tokenizer) -> None:
    text = b"aaaaaaa\n\naaa" * 3
    assert [ids.tolist() for _, ids in small.nbest(text, 40)] == [ids for _, ids in small.lattice(text).nbest(40)]
    assert small.nbest(text, 1)[0][1].tolist() == small.encode(text).tolist()
    assert small.nbest(b"", 3)[0][1].tolist() == []
    assert small.entropy(b"") == 0
    assert small.marginals("") == []


def test_the_n_best_of_many_lines_are_the_twins(small: Tokenizer) -> None:
    text = b"a\n\nab ab\nimport os\naa\n" * 3
    for n in (2, 97, 700):
        assert [(s, ids.tolist()) for s, ids in small.nbest(text, n)] == small.lattice(text).nbest(n)


def test_the_n_best_cost_hardly_more_than_they_are_many(small: Tokenizer) -> None:
    # All pairs of 300 000 ways and 300 000 paths would be 9e10.
    found = small.nbest(b"import os, sys and re\nfrom collections import abc\n" * 2, 300_000)
    scores = [score for score, _ in found]
    assert len(scores) == 300_000
    assert scores == sorted(scores, reverse=True)
    with pytest.raises(ConfigError, match=r"below 2\^63"):
        small.nbest("a", 1 << 63)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_the_n_best_of_ties_are_the_twins(data: st.DataObject) -> None:
    pieces = [*(bytes([b]) for b in range(256)), b"aa", b"ab", b"aaa", b"b\n", b"aab"]
    scores = -np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(pieces), max_size=len(pieces)))) / 2
    own = Tokenizer.from_vocabulary(Vocabulary(pieces, scores, np.zeros(len(pieces), dtype=np.uint64), specials={}))
    text = data.draw(st.lists(st.sampled_from(b"ab\n"), max_size=14).map(bytes))
    n = data.draw(st.integers(1, 60))
    assert [(s, ids.tolist()) for s, ids in own.nbest(text, n)] == own.lattice(text).nbest(n)


@pytest.mark.parametrize("alpha", [1e3, 1e6])
def test_large_alpha_is_the_best_segmentation(small: Tokenizer, alpha: float) -> None:
    text = b"import os, sys\nfrom the text of a line that goes on and on, " * 30
    best = small.encode(text).tolist()
    assert small.sample(text, alpha, seed=3).tolist() == best == twin(small).sample(text, alpha, 3)
    starts, ends, ids, probabilities = small.marginal_arrays(text, alpha)
    assert ids[probabilities > 0.5].tolist() == best
    for mine in (probabilities, np.array([one.probability for one in small.lattice(text).marginals(alpha)])):
        cover = np.zeros(len(text) + 1)
        np.add.at(cover, starts.astype(int), mine)
        np.add.at(cover, ends.astype(int), -mine)
        assert np.cumsum(cover)[:-1] == pytest.approx(np.ones(len(text)), abs=1e-12)
    assert small.entropy(text, alpha) == pytest.approx(0, abs=1e-9)


def test_ties_stay_even_whatever_alpha(small: Tokenizer) -> None:
    pieces = [*(bytes([b]) for b in range(256)), b"ab", b"bc"]
    scores = np.full(len(pieces), -3.0)
    own = Tokenizer.from_vocabulary(Vocabulary(pieces, scores, np.zeros(len(pieces), dtype=np.uint64), specials={}))
    text = b"abc" * 2000  # of each abc, ab c and a bc are equal, and better than a b c
    for alpha in (20.0, 2000.0, 1e6):
        drawn = own.sample(text, alpha, seed=1)
        assert drawn.tolist() == twin(own).sample(text, alpha, 1)
        assert len(drawn) == 4000
        assert 850 < np.count_nonzero(drawn == 256) < 1150
        assert own.entropy(text, alpha) == pytest.approx(2000 * math.log(2), rel=1e-6)
        probabilities = own.marginal_arrays(text, alpha)[3]
        assert probabilities[probabilities > 1e-6] == pytest.approx(np.full(8000, 0.5), abs=1e-3)


def test_ids_are_never_bent(small: Tokenizer) -> None:
    for ids in (np.array([300.7]), np.array([-1]), [0.5], np.array([[300]], dtype=np.uint32), "ab", np.array([True])):
        with pytest.raises(ConfigError, match=r"token ids|list of token ids"):
            small.decode(ids)
    every = np.arange(small.vocab_size, dtype=np.uint32)
    for same in (every, every.astype(np.int64), every.tolist(), iter(every.tolist()), every[::-1][::-1]):
        assert small.decode(same) == b"".join(small.pieces)
