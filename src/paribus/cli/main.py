"""`paribus`: the commands, each in a file of its own."""

import sys

import typer

from paribus.cli import check, claims, compare, evaluate, generate, new, train

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
    new.new,
    train.train,
    evaluate.evaluate,
    generate.generate,
):
    app.command()(command)


def main() -> None:
    """Run a command; every error of ours becomes one clear line and its exit code."""
    from paribus.core.errors import ParibusError

    try:
        sys.exit(app(standalone_mode=False))
    except ParibusError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted; whatever was finished is kept, and the same command goes on from there", 130)
    except Exception as error:
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong option or command, from typer
            error.show()
            sys.exit(2)
        raise


def fail(text: str, code: int) -> None:
    sys.stderr.write(f"paribus: {text}\n")
    sys.exit(code)
