"""`paribus`: the commands, each in a file of its own."""

import errno
import sys
from typing import Annotated

import typer

from paribus.cli import (
    check,
    claims,
    clean,
    compare,
    cost,
    evaluate,
    export,
    extend,
    generate,
    merge,
    models,
    new,
    runs,
    theory,
    tokenizer,
    train,
    verify,
)

app = typer.Typer(
    name="paribus",
    help="A laboratory of fair trials for sequence models: equal budgets, paired seeds, verdicts with intervals.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    check.check,
    claims.claims,
    compare.compare,
    cost.cost,
    new.new,
    runs.runs,
    merge.merge,
    clean.clean,
    export.export,
    train.train,
    evaluate.evaluate,
    generate.generate,
    extend.extend,
    verify.verify,
):
    app.command()(command)
app.add_typer(models.app, name="models", help="Checkpoints that are known by a word.")
app.add_typer(theory.app, name="theory")
app.add_typer(tokenizer.app, name="tokenizer", help="BytePiece, a byte-level unigram tokenizer.")


def told(asked: bool) -> None:
    if asked:
        from paribus import __version__

        sys.stdout.write(f"paribus {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=told, is_eager=True, help="The version.")] = False,
) -> None:
    pass


OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, None}


def main() -> None:
    """Run a command; every error of ours becomes one clear line and its exit code."""
    from paribus.core.errors import ParibusError

    try:
        sys.exit(app(standalone_mode=False))
    except ParibusError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted; whatever was finished is kept, and the same command goes on from there", 130)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_MACHINE:
            raise
        fail(f"{error.strerror}: {error.filename or 'where it writes'}; free space, or choose another place", 1)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong option or command, from typer
            error.show()
            sys.exit(2)
        raise


def fail(text: str, code: int) -> None:
    sys.stderr.write(f"paribus: {text}\n")
    sys.exit(code)
