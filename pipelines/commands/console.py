"""What the commands share: consoles, errors as one message, stages under way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

__all__ = ["ERROR", "INTERRUPTED", "OUT", "USER_ERROR", "say", "stages", "user_errors", "warn"]

OUT = Console()
ERROR = Console(stderr=True)
USER_ERROR = 2
INTERRUPTED = 130


def say(text: str) -> None:
    """Print text as it is: nothing highlighted, wrapped, expanded or read as markup."""
    typer.echo(text)


def warn(text: str) -> None:
    """Print what nobody may overlook."""
    ERROR.print(f"WARNING: {text}", style="bold red", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the user can mend into one message and exit 2."""
    from features.errors import OncoResistError

    try:
        yield
    except OncoResistError as error:
        ERROR.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(USER_ERROR) from error
    except KeyboardInterrupt as error:
        told = "interrupted; `oncoresist models list` shows what stands"
        ERROR.print(told, style="yellow", highlight=False)
        raise typer.Exit(INTERRUPTED) from error


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Show the stage under way: a spinner on a terminal, a line each where output is piped."""
    if not OUT.is_terminal:
        yield lambda stage: OUT.print(f"… {stage}", highlight=False)
        return
    with OUT.status("starting") as status:
        yield lambda stage: status.update(stage)
