import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paribus import Tokenizer
from paribus.cli.tokenizer import app
from paribus.core.errors import ConfigError, CorpusError, InputError

MakeTexts = Callable[[int, int, int], list[bytes]]


def run(*words: object, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def corpus(tmp_path: Path, make_texts: MakeTexts) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i, text in enumerate(make_texts(21, 12, 60)):
        (folder / f"{i:02}.txt").write_bytes(text)
    return folder


@pytest.fixture
def model(tmp_path: Path, corpus: Path) -> Path:
    path = tmp_path / "m.bp"
    run("train", corpus, "--vocab-size", 400, "--min-count", 2, "--jobs", 1, "--out", path)
    assert not Path(f"{path}.work").exists()
    return path


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A job that is interrupted where it would count pieces; `counted`: after it has counted on disk."""
    from paribus.tokenizer import train

    def stopped(*words: object, stdin: bytes | None = None, counted: bool = False) -> None:
        def interrupt(job: train.Job, *_: object) -> None:
            if counted:
                job._write_journal()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(train.Job, "count_pieces", interrupt)
            assert CliRunner().invoke(app, [str(word) for word in words], input=stdin).exit_code != 0

    return stopped


def test_train_several_sizes_from_standard_input(corpus: Path, model: Path, tmp_path: Path) -> None:
    whole = b"".join(path.read_bytes() for path in sorted(corpus.iterdir()))
    run("train", "-", "--vocab-size", 400, "--vocab-size", 270, "--min-count", 2, "-o", tmp_path / "s.bp", stdin=whole)
    assert {path.name for path in tmp_path.glob("s.*")} == {"s.400.bp", "s.270.bp"}
    assert Tokenizer.load(tmp_path / "s.270.bp").vocab_size <= 270 < Tokenizer.load(tmp_path / "s.400.bp").vocab_size


def test_an_interrupted_job_resumes(
    corpus: Path, model: Path, tmp_path: Path, interrupted: Callable[..., None]
) -> None:
    out = tmp_path / "again.bp"
    words = ("train", corpus, "--vocab-size", 400, "--min-count", 2, "--out", out)
    interrupted(*words)
    # Nothing was counted on disk, so another job may take the folder, and the first can still be run again.
    with pytest.raises(ConfigError, match="order = 9"):
        run("train", corpus, "--order", 9, "--out", out)
    interrupted(*words)
    run("resume", f"{out}.work", "--memory", "300MiB", "--jobs", 1)
    assert Tokenizer.load(out).pieces == Tokenizer.load(model).pieces
    with pytest.raises(ConfigError, match="no work folder"):
        run("resume", tmp_path)


def test_a_job_that_counted_is_not_touched(corpus: Path, tmp_path: Path, interrupted: Callable[..., None]) -> None:
    out = tmp_path / "again.bp"
    interrupted("train", corpus, "--vocab-size", 400, "--min-count", 2, "--out", out, counted=True)
    with pytest.raises(ConfigError, match="holds a job: `paribus tokenizer resume"):
        run("train", corpus, "--vocab-size", 300, "--out", out)
    with pytest.raises(ConfigError, match="holds a job"):
        run("train", "-", "--out", out, stdin=b"text")


def test_a_job_that_cannot_begin_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    for words in (
        [tmp_path / "none"],
        [corpus, "--vocab-size", 100],
        [corpus, "--memory", "much"],
        [corpus, "--memory", "1.2.3GiB"],
        [corpus, "--memory", "."],
        [corpus, "--memory", "9" * 400 + "TiB"],
        [corpus, "--min-count", 1 << 70],
        [corpus, "--vocab-size", 1 << 70],
    ):
        with pytest.raises(InputError):
            run("train", *words, "--out", tmp_path / "m.bp")
        assert not (tmp_path / "m.bp.work").exists()


def held_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_that_is_no_work_folder_is_not_touched(corpus: Path, tmp_path: Path) -> None:
    own = tmp_path / "thesis"
    own.mkdir()
    for name, content in (("chapter.txt", b"years of work"), ("stdin.txt", b"mine"), ("ngrams-0-1.counts", b"mine")):
        (own / name).write_bytes(content)
    words = ("train", corpus, "--vocab-size", 300, "--min-count", 2, "--out", tmp_path / "m.bp", "--work", own)
    before = held_in(tmp_path)
    for content in (None, b"{}", b"no json", b'{"part": "TrainJob"}', b"\xff"):
        if content is not None:
            (own / "job.json").write_bytes(content)
            before["thesis/job.json"] = content
        with pytest.raises(InputError, match=r"no work folder|no training that this version knows"):
            run(*words)
        assert held_in(tmp_path) == before
    with pytest.raises(InputError, match="is a file"):
        run(*words[:-1], own / "chapter.txt")


def test_only_what_a_job_wrote_is_removed(corpus: Path, tmp_path: Path, interrupted: Callable[..., None]) -> None:
    work = tmp_path / "w"
    words = ("train", "-", "--vocab-size", 300, "--min-count", 2, "--out", tmp_path / "m.bp", "--work", work)
    interrupted(*words, stdin=b"text " * 40, counted=True)
    (work / "notes.txt").write_text("mine")
    (work / "in").mkdir()
    run("resume", work)
    assert sorted(path.name for path in work.iterdir()) == ["in", "notes.txt"]
    assert (tmp_path / "m.bp").exists()
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    run(*words[:-1], tmp_path / "link", stdin=b"text " * 40)
    assert not list((tmp_path / "link").iterdir())
    # An empty folder is as good as none.
    (tmp_path / "empty").mkdir()
    run(*words[:-1], tmp_path / "empty", stdin=b"text " * 40)
    assert not (tmp_path / "empty").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError):
        run(*words[:-1], tmp_path / "empty", stdin=b"")
    assert not (tmp_path / "empty").exists()


def test_a_model_in_the_work_folder_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to("w")
    for out, work in (("w/m.bp", "w"), ("w", "w"), ("w/m.bp", "link"), ("m.bp", "."), ("link/m.bp", "w")):
        with pytest.raises(InputError, match=r"lies in the work folder|is a folder|no work folder"):
            run("train", corpus, "--out", tmp_path / out, "--work", tmp_path / work)
    assert not list((tmp_path / "w").iterdir())


def test_a_corpus_does_not_hold_what_is_made_of_it(
    corpus: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paribus.tokenizer import corpus as reading
    from paribus.tokenizer import train

    monkeypatch.setattr(reading, "BATCH", 1000)
    real = train.Job._pass
    monkeypatch.setattr(train.Job, "_pass", lambda job, stage, counter, _: real(job, stage, counter, lambda _: True))
    words = ("train", corpus, "--vocab-size", 400, "--vocab-size", 300, "--min-count", 2)
    for name in ("m.400.bp", "m.300.bp", "m.400.bp.part"):
        (corpus / name).write_bytes(b"an older one " * 40)
    run(*words, "--out", corpus / "m.bp")
    assert Tokenizer.load(corpus / "m.400.bp").pieces == Tokenizer.load(model).pieces
    run(*words, "--out", corpus / "m.bp", "--work", corpus / "w")
    assert Tokenizer.load(corpus / "m.400.bp").pieces == Tokenizer.load(model).pieces
    with pytest.raises(CorpusError, match="to be read and to be written"):
        run("train", corpus / "00.txt", "--out", corpus / "00.txt")
    (tmp_path / "e").mkdir()
    with pytest.raises(CorpusError, match="to be read and to be written"):
        run("train", tmp_path / "e", "--out", tmp_path / "m.bp", "--work", tmp_path / "e")


def test_counts_in_the_folder_that_is_counted(corpus: Path, tmp_path: Path) -> None:
    words = ("--min-count", 2, "--out")
    for folder in (tmp_path, corpus):
        run("count", corpus, *words, folder / "n")
        run("count", corpus, "--ngrams", folder / "n", *words, folder / "p")
        run("count", corpus, "--ngrams", folder / "n", *words, folder / "p")
    for name in ("n", "p"):
        assert (corpus / name).read_bytes() == (tmp_path / name).read_bytes()


def test_standard_input_is_that_of_this_call(tmp_path: Path, interrupted: Callable[..., None]) -> None:
    words = ("train", "-", "--min-count", 2, "--out", tmp_path / "m.bp")
    interrupted(*words, stdin=b"old " * 40)
    run(*words, stdin=b"new " * 40)
    own = Tokenizer.load(tmp_path / "m.bp")
    seen = {piece for piece, n in zip(own.pieces, own.vocabulary.counts) if n > 1}
    assert set(b"".join(seen)) == set(b"new ")


def test_count_merge_finish(corpus: Path, model: Path, tmp_path: Path) -> None:
    files = sorted(corpus.iterdir())
    for i in (0, 1):
        run("count", *files[i::2], "--out", tmp_path / f"{i}.n", "--min-count", 2)
    run("merge", tmp_path / "0.n", tmp_path / "1.n", "--out", tmp_path / "n")
    for i in (0, 1):
        run("count", *files[i::2], "--out", tmp_path / f"{i}.p", "--ngrams", tmp_path / "n", "--min-count", 2)
    run("merge", tmp_path / "0.p", tmp_path / "1.p", "--out", tmp_path / "p")
    words = ["--vocab-size", 400, "--min-count", 2, "--out", tmp_path / "merged.bp"]
    run("finish", "--ngrams", tmp_path / "n", "--pieces", tmp_path / "p", *words)
    assert Tokenizer.load(tmp_path / "merged.bp").pieces == Tokenizer.load(model).pieces


def test_encode_and_decode(model: Path, tmp_path: Path) -> None:
    text = "the of 的\n\n龘 \xff\n".encode() + b"\xff\x00"
    ids = run("encode", "--model", model, stdin=text).stdout
    # An empty line belongs to the line before it, as everywhere; so the ids are those of the whole text.
    assert len(ids.splitlines()) == 3
    assert list(map(int, ids.split())) == Tokenizer.load(model).encode(text).tolist()
    for one in (b"\n\na\r\rb\n\n\nc", b"\r\n\r\n", b""):
        assert list(map(int, run("encode", "--model", model, stdin=one).stdout.split())) == (
            Tokenizer.load(model).encode(one).tolist()
        )
    special = run("encode", "--model", model, "--allow", "<eos>", stdin=b"the<eos><bos>").stdout.split()
    assert special.count("2") == 1
    assert "2" not in run("encode", "--model", model, stdin=b"the<eos>").stdout.split()
    assert "1" not in special
    assert run("decode", "--model", model, stdin=ids.encode()).stdout_bytes == text
    assert "the" in run("encode", "--model", model, "--pieces", stdin=text).stdout
    with pytest.raises(InputError, match="whole numbers"):
        run("decode", "--model", model, stdin=b"1 two")
    with pytest.raises(ConfigError, match="not in the vocabulary"):
        run("decode", "--model", model, stdin=b"99999")
    with pytest.raises(ConfigError, match="from 0 to 4294967295, got 99999999999999999999999"):
        run("decode", "--model", model, stdin=b"1 99999999999999999999999")
    with pytest.raises(InputError, match="No such file"):
        run("encode", "--model", model, tmp_path / "none")


def test_lines_are_composed_as_the_whole_is(tmp_path: Path, corpus: Path) -> None:
    run("train", corpus, "--vocab-size", 400, "--min-count", 2, "--nfc", "--out", tmp_path / "nfc.bp")
    text = "cafe\u0301\n".encode() + b"\xff\n\xc3" + "e\u0301 \u1100\u1161\n\u0301x".encode() + b"\xe4\xb8"
    ids = run("encode", "--model", tmp_path / "nfc.bp", stdin=text).stdout
    own = Tokenizer.load(tmp_path / "nfc.bp")
    assert list(map(int, ids.split())) == own.encode(text).tolist()
    assert own.decode(own.encode(text)).startswith("caf\xe9\n".encode() + b"\xff\n\xc3\xc3\xa9 ")


def test_inspect(model: Path) -> None:
    shown = run("inspect", model).output
    assert "<eos> = 2" in shown
    assert "min_count = 2" in shown


def test_compare(model: Path, corpus: Path, tmp_path: Path) -> None:
    run("convert", model, tmp_path / "original.json")
    run("convert", tmp_path / "original.json", tmp_path / "back.bp")
    run("convert", model, tmp_path / "tokenizer.json")
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == "Unigram"
    plot = tmp_path / "plot.png"
    words = ["compare", model, tmp_path / "back.bp", "--text", corpus]
    rows = json.loads(run(*words, "--json", "--plot", plot).stdout)
    assert [row["name"] for row in rows] == ["m.bp", "back.bp"]
    assert rows[0]["bytes_per_token"] > 1.5
    assert rows[0]["tokens_per_word"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "bytes per token" in run(*words).output


def test_what_cannot_be_compared(model: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "spm.model").write_bytes(b"no model")
    for words, expected in (
        ([tmp_path / "none.bp"], "is no file"),
        ([tmp_path / "tokenizer.json"], "it is no tokenizer.json"),
        ([model, "--plot", tmp_path / "x.txt"], "a plot's name ends in"),
        ([model, "--plot", tmp_path / "none" / "x.png"], "there is no folder"),
    ):
        if "tokenizer.json" in str(words[0]):
            pytest.importorskip("tokenizers")
        with pytest.raises(InputError, match=expected):
            run("compare", *words, "--text", corpus)
    assert CliRunner().invoke(app, ["compare", str(model), "--text", str(corpus), "--document", "0"]).exit_code == 2


def test_places_that_cannot_be_written(model: Path, corpus: Path, tmp_path: Path) -> None:
    for words in (["count", corpus], ["merge", corpus / "00.txt"], ["finish", "--ngrams", model, "--pieces", model]):
        with pytest.raises(InputError, match="is a folder"):
            run(*words, "--out", tmp_path)
        with pytest.raises(InputError, match="there is no folder"):
            run(*words, "--out", tmp_path / "none" / "x")
    with pytest.raises(InputError, match="is a folder"):
        run("train", corpus, "--out", tmp_path)
    (tmp_path / "x.300.bp").mkdir()
    for words in (["train", corpus], ["finish", "--ngrams", model, "--pieces", model]):
        with pytest.raises(InputError, match=r"x\.300\.bp is a folder"):
            run(*words, "--vocab-size", 400, "--vocab-size", 300, "--out", tmp_path / "x.bp")
    for words in ([], ["--work", tmp_path / "w"]):
        with pytest.raises(InputError, match="there is no folder"):
            run("train", corpus, "--out", tmp_path / "none" / "q.bp", *words)
    with pytest.raises(InputError, match="there is no folder"):
        run("train", corpus, "--out", tmp_path / "q.bp", "--work", tmp_path / "none" / "w")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "w").exists()
    with pytest.raises(InputError, match="there is no folder"):
        run("convert", model, tmp_path / "none" / "tokenizer.json")


def test_the_field_of_records(model: Path, corpus: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    texts = [path.read_bytes().decode(errors="replace") for path in sorted(corpus.iterdir())]
    records.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    with pytest.raises(CorpusError, match="no field 'text'"):
        run("train", records, "--out", tmp_path / "x.bp")
    words = ["--field", "body", "--min-count", 2]
    run("train", records, *words, "--vocab-size", 400, "--out", tmp_path / "field.bp")
    assert Tokenizer.load(tmp_path / "field.bp").pieces == (
        Tokenizer.train(texts, vocab_size=400, min_count=2).pieces
    )  # fmt: skip
    run("count", records, *words, "--out", tmp_path / "field.n")
    rows = json.loads(run("compare", model, "--text", records, "--field", "body", "--json").stdout)
    assert rows[0]["tokens"] == sum(len(Tokenizer.load(model).encode(text)) for text in texts)


def test_models_that_cannot_be_converted_exactly(model: Path, tmp_path: Path) -> None:
    for name, words in (("spm.model", "single precision"), ("ranks.tiktoken", "which pair is joined first")):
        with pytest.raises(ConfigError, match=f"cannot be converted exactly: .*{words}"):
            run("convert", tmp_path / name, tmp_path / "m.bp")
        with pytest.raises(ConfigError, match="cannot be written"):
            run("convert", model, tmp_path / name)


def test_a_claim_on_a_text_of_ones_own(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from paribus.lab.load import load

    monkeypatch.chdir(tmp_path)
    run("claim", corpus, "--vocab-size", 300, "--documents", 7)
    name, claim = load("./corpus_bytepiece.py")
    assert name == "corpus-bytepiece"
    assert len(claim.profile("laptop").seeds) == 7
    assert {arm.config.size for arm in claim.arms} == {300}
    assert claim.primary == "corpus-fewer-than-bpe"
    with pytest.raises(InputError, match="is there already"):
        run("claim", corpus)
    with pytest.raises(InputError, match=r"with \.py"):
        run("claim", corpus, "--out", "x.txt")
    with pytest.raises(InputError, match="there is no"):
        run("claim", tmp_path / "none")
