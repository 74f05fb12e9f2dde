"""`paribus`: the commands, each in a file of its own."""

import sys

import typer

from paribus.cli import check, claims, compare, new

app = typer.Typer(
    name="paribus",
    help="A laboratory of fair trials for sequence models: equal budgets, paired seeds, verdicts with intervals.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("check")(check.check)
app.command("claims")(claims.claims)
app.command("compare")(compare.compare)
app.command("new", help="Write a commented claim to start from.")(new.new)


def main() -> None:
    """Run a command; every error of ours becomes one clear line and its exit code."""
    from paribus.core.errors import ParibusError

    try:
        app(standalone_mode=False)
    except ParibusError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted; whatever was finished is kept, and the same command goes on from there", 130)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        raise


def fail(text: str, code: int) -> None:
    sys.stderr.write(f"paribus: {text}\n")
    sys.exit(code)
