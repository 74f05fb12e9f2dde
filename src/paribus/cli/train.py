"""`paribus train`: one arm of a claim, at one rate and seed, into a folder of its own."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    claim: Annotated[str, typer.Argument(metavar="CLAIM|FILE.py", help="Where the arm is described.")],
    arm: Annotated[str | None, typer.Option(help="Which arm; by default the first that is trained.")] = None,
    profile: Annotated[str, typer.Option(help="The profile whose budget is used.")] = "laptop",
    tokens: Annotated[int | None, typer.Option(help="Tokens to train on, instead of the profile's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak rate; by default the middle of the grid.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the parameters and the order of the data.")] = 0,
    corpus: Annotated[
        str | None, typer.Option(help="python-stdlib, python-docs, english, or a file or folder.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="bytepiece, or a .bp file, in place of the claim's.", metavar="WORD")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Torch threads; by default all cores.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", metavar="WORD")] = "cpu",
    checkpoint_every: Annotated[
        float, typer.Option(metavar="SECONDS", help="Between two states that are kept while it trains.")
    ] = 60.0,
    out: Annotated[Path, typer.Option(help="The model's folder.")] = Path("paribus-model"),
) -> None:
    """Train one arm and save it.

    `paribus generate` and `paribus evaluate` read its folder. A training that was interrupted or killed goes on from
    its last state by the same command.
    """
    from paribus.cli.one_arm import train_arm

    train_arm(
        claim, arm, profile, tokens, learning_rate, seed, corpus, tokenizer, threads, device, checkpoint_every, out
    )
