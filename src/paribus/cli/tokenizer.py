"""`paribus tokenizer ...`: train, count and merge, encode and decode, inspect, compare, convert."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="tokenizer",
    help="BytePiece, a byte-level unigram tokenizer: lossless, exact, trained in bounded memory.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Corpus = Annotated[
    list[Path], typer.Argument(metavar="CORPUS...", help="Files, folders or - (stdin); text, JSONL, Parquet, gz, zst.")
]
Model = Annotated[Path, typer.Option("--model", "-m", help="A .bp file.")]
Memory = Annotated[
    str,
    typer.Option(help="Resident memory not to pass, 256MiB at least; what does not fit goes to disk: for text usually "
    "less than a byte for each byte of the corpus, 10 at the most."),
]  # fmt: skip
Field = Annotated[str, typer.Option(help="The field of JSONL, or column of Parquet, that holds the text.")]
Jobs = Annotated[int | None, typer.Option(help="Threads; by default one a core.")]
Order = Annotated[int, typer.Option(help="Bytes of the longest n-gram, 2 to 6.")]
MaxPiece = Annotated[int, typer.Option(help="Bytes of the longest piece.")]
MinCount = Annotated[int, typer.Option(help="N-grams and pieces that come less often are dropped.")]
Digits = Annotated[bool, typer.Option("--isolate-digits", help="Every digit a piece of its own.")]
Nfc = Annotated[bool, typer.Option("--nfc", help="Compose characters first, also when encoding; not lossless.")]
Segmentation = Annotated[int, typer.Option(help="2, or 1 as bytepiece 0.6.3 (rare characters break their lines).")]
Sizes = Annotated[list[int], typer.Option("--vocab-size", help="Tokens; give it again for several sizes of one run.")]


@app.command()
def train(
    corpus: Corpus,
    vocab_size: Sizes = [32000],  # noqa: B006
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The model; several sizes get their size in the name.")
    ] = Path("tokenizer.bp"),
    memory: Memory = "1GiB",
    jobs: Jobs = None,
    order: Order = 6,
    max_piece_length: MaxPiece = 36,
    min_count: MinCount = 32,
    isolate_digits: Digits = False,
    nfc: Nfc = False,
    segmentation: Segmentation = 2,
    field: Field = "text",
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of the job, for resume; by default OUT.work. It is gone at the end, if it is empty."),
    ] = None,
) -> None:
    """Learn a vocabulary. If it is interrupted, `paribus tokenizer resume OUT.work` goes on."""
    from paribus.cli.tokenizer_job import TrainJob

    job = TrainJob(
        corpus=tuple(str(path) if str(path) == "-" else str(path.resolve()) for path in corpus),
        sizes=tuple(vocab_size),
        out=str(out.resolve()),
        memory=memory,
        jobs=jobs,
        order=order,
        max_piece_length=max_piece_length,
        min_count=min_count,
        isolate_digits=isolate_digits,
        nfc=nfc,
        segmentation=segmentation,
        field=field,
    )
    job.begin(work or Path(f"{job.out}.work"))


@app.command()
def resume(
    work: Annotated[Path, typer.Argument(metavar="WORK", help="The work folder of an interrupted train.")],
    memory: Annotated[
        str | None, typer.Option(help="Another limit than that of the train; it changes no token.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Another number of threads.")] = None,
) -> None:
    """Go on with a training that was interrupted, from what it had counted."""
    from paribus.cli.tokenizer_job import TrainJob

    TrainJob.read(work).run(work, memory, jobs)


@app.command()
def count(
    corpus: Corpus,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of counts.")],
    ngrams: Annotated[
        Path | None, typer.Option(help="Merged n-grams of all shards: count the pieces they cut.")
    ] = None,
    memory: Memory = "1GiB",
    jobs: Jobs = None,
    order: Order = 6,
    min_count: MinCount = 32,
    isolate_digits: Digits = False,
    nfc: Nfc = False,
    segmentation: Segmentation = 2,
    field: Field = "text",
) -> None:
    """Count one shard of a corpus: its n-grams, or with --ngrams its pieces. `merge` joins shards exactly."""
    from paribus.cli.tokenizer_job import check_out, display
    from paribus.tokenizer import shards
    from paribus.tokenizer.settings import Settings

    check_out(out)
    settings = Settings(
        order=order, min_count=min_count, isolate_digits=isolate_digits, nfc=nfc, segmentation=segmentation
    )
    with display() as progress:
        if ngrams is None:
            shards.count_ngrams(corpus, out, settings, memory, jobs, progress, field)
        else:
            shards.count_pieces(corpus, ngrams, out, settings, memory, jobs, progress, field)


@app.command()
def merge(
    counts: Annotated[list[Path], typer.Argument(metavar="COUNTS...", help="Files that count made.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The merged file.")],
) -> None:
    """Merge counts of several shards or machines, as if they had been counted together."""
    from paribus.cli.tokenizer_job import check_out
    from paribus.tokenizer import shards

    check_out(out)
    shards.merge(counts, out)


@app.command()
def finish(
    ngrams: Annotated[Path, typer.Option(help="Merged n-grams.")],
    pieces: Annotated[Path, typer.Option(help="Merged pieces.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The model.")],
    vocab_size: Sizes = [32000],  # noqa: B006
    order: Order = 6,
    max_piece_length: MaxPiece = 36,
    min_count: MinCount = 32,
    isolate_digits: Digits = False,
    nfc: Nfc = False,
    segmentation: Segmentation = 2,
    memory: Memory = "1GiB",
    jobs: Jobs = None,
) -> None:
    """Make the vocabulary from merged counts; no corpus is needed."""
    from paribus.cli.tokenizer_job import check_out, models_of, save
    from paribus.tokenizer import shards
    from paribus.tokenizer.settings import Settings

    for path in models_of(vocab_size, out):
        check_out(path)
    settings = Settings(
        order=order, max_piece_length=max_piece_length, min_count=min_count, isolate_digits=isolate_digits, nfc=nfc,
        segmentation=segmentation,
    )  # fmt: skip
    save(shards.finish(ngrams, pieces, vocab_size, settings, memory, jobs), vocab_size, out)


@app.command()
def encode(
    model: Model,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="By default standard input.")] = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="Print the pieces instead of the ids.")] = False,
    allow: Annotated[
        list[str], typer.Option(help="A special token to recognise in the text, such as <eos>; again for more.")
    ] = [],  # noqa: B006
) -> None:
    """Print the token ids of a text: a line for each of its lines, which holds the empty lines behind it too.

    The lines, joined, are what Tokenizer.encode gives for the whole. Special tokens inside the text are text unless
    they are allowed.
    """
    from paribus.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model)
    for line in _lines(file):
        ids = tokenizer.encode(line, allow).tolist()
        words = [repr(tokenizer.pieces[i])[1:] for i in ids] if pieces else map(str, ids)
        sys.stdout.write(" ".join(words) + "\n")


@app.command()
def decode(
    model: Model,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Ids parted by white space; by default stdin.")
    ] = None,
) -> None:
    """Write the bytes of token ids to standard output, exactly."""
    from paribus.core.errors import InputError
    from paribus.tokenizer.tokenizer import Tokenizer

    try:
        ids = [int(word) for line in _input(file) for word in line.split()]
    except ValueError as error:
        raise InputError(f"expected token ids, whole numbers parted by white space: {error}") from error
    sys.stdout.buffer.write(Tokenizer.load(model).decode(ids))


@app.command()
def inspect(model: Annotated[Path, typer.Argument(help="A .bp file.")]) -> None:
    """Print what a model is: size, how it was trained, its longest and commonest pieces."""
    from rich.console import Console

    from paribus.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model)
    counts = tokenizer.vocabulary.counts.tolist()
    longer = [i for i, piece in enumerate(tokenizer.pieces) if len(piece) > 1]
    common = sorted(longer, key=lambda i: -counts[i])[:24]
    longest = sorted(longer, key=lambda i: -len(tokenizer.pieces[i]))[:12]
    console = Console(highlight=False, markup=False)
    console.print(f"tokens      {tokenizer.vocab_size}, {len(tokenizer.specials)} of them special")
    console.print(f"special     {', '.join(f'{name} = {i}' for name, i in tokenizer.specials.items())}")
    console.print(f"NFC         {'yes' if tokenizer.nfc else 'no'}")
    console.print(f"trained     {', '.join(f'{key} = {value}' for key, value in tokenizer.training.items())}")
    console.print(f"commonest   {' '.join(_shown(tokenizer.pieces[i]) for i in common)}")
    console.print(f"longest     {' '.join(_shown(tokenizer.pieces[i]) for i in longest)}")


@app.command()
def compare(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help=".bp, .json (bytepiece, Hugging Face), .model.")
    ],
    text: Annotated[Path, typer.Option(help="The text: a file or a folder.")],
    document: Annotated[int, typer.Option(help="Characters a call.", min=1)] = 3000,
    plot: Annotated[Path | None, typer.Option(help="Write a plot, .png or .svg.")] = None,
    field: Field = "text",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bytes per token, tokens per word and MB/s of several tokenizers on one text."""
    import json as json_module

    from rich.console import Console
    from rich.table import Table

    from paribus.text.readers import documents
    from paribus.tokenizer import compare as comparison

    if plot is not None:
        comparison.check_plot(plot)
    texts = [one.data.decode("utf-8", "replace") for one in documents([text], field)]
    parts = [whole[i : i + document] for whole in texts for i in range(0, len(whole), document)]
    rows = comparison.compare(models, parts)
    if plot is not None:
        comparison.plot(rows, plot)
    if json:
        sys.stdout.write(json_module.dumps([row._asdict() for row in rows], indent=1) + "\n")
        return
    table = Table("tokenizer", "vocabulary", "tokens", "bytes per token", "tokens per word", "MB/s")
    for row in rows:
        table.add_row(
            row.name, str(row.vocab_size), str(row.tokens), f"{row.bytes_per_token:.3f}",
            f"{row.tokens_per_word:.3f}", f"{row.megabytes_per_second:.1f}",
        )  # fmt: skip
    Console(highlight=False).print(table)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A .bp file, or the .json of bytepiece.")],
    out: Annotated[Path, typer.Argument(help="tokenizer.json for Hugging Face, other .json for bytepiece, or .bp.")],
) -> None:
    """Between our file, bytepiece's JSON and Hugging Face's tokenizer.json.

    SentencePiece models and tiktoken's ranks are refused: they cannot be converted exactly.
    """
    from paribus.cli.tokenizer_job import check_out
    from paribus.tokenizer import convert as conversion

    check_out(out)
    tokenizer = conversion.read(source)
    conversion.check_kind(out)
    if out.name == "tokenizer.json":
        conversion.write_hugging_face(tokenizer, out)
    elif out.suffix == ".json":
        conversion.write_bytepiece(tokenizer, out)
    else:
        tokenizer.save(out)


@app.command()
def claim(
    corpus: Annotated[Path, typer.Argument(help="A folder or file of text.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The file; by default FOLDER_bytepiece.py.")] = None,
    vocab_size: Annotated[int, typer.Option(help="Tokens of every vocabulary.")] = 4096,
    learn: Annotated[int, typer.Option(help="Bytes that every tokenizer learns from.")] = 1_000_000,
    documents: Annotated[int, typer.Option(help="Held-out documents to compare on.")] = 20,
) -> None:
    """Write the claim of `paribus check bytepiece` for a text of your own: BytePiece against BPE and Unigram."""
    from paribus.cli.tokenizer_job import write_claim

    word = re.sub(r"[^a-z0-9]+", "-", corpus.resolve().stem.lower()).strip("-") or "own"
    target = out or Path(f"{word.replace('-', '_')}_bytepiece.py")
    write_claim(target, word, corpus, vocab_size, learn, documents)
    sys.stderr.write(f"{target}: run it with `paribus check {target}`\n")


def _lines(file: Path | None) -> Iterator[bytes]:
    """The lines of the input, each with the empty lines behind it: no token reaches from one into the next."""
    held = b""
    for line in _input(file):
        if held and line != b"\n":
            yield held
            held = b""
        held += line
    if held:
        yield held


def _input(file: Path | None) -> Iterator[bytes]:
    """Line by line, each with its newline."""
    from paribus.core.errors import InputError

    if file is None or str(file) == "-":
        yield from sys.stdin.buffer
        return
    try:
        with file.open("rb") as stream:
            yield from stream
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; name a file that can be read") from error


def _shown(piece: bytes) -> str:
    try:
        return repr(piece.decode())
    except UnicodeDecodeError:
        return repr(piece)
