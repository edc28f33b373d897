"""`v2g completion …`: a shell that knows the commands and their options."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.options import Json
from cli.output import fail, show_json

PROGRAM: Final = "v2g"
VARIABLE: Final = "_V2G_COMPLETE"
"""By which the shell's script asks the program."""


class Shell(StrEnum):
    """Shells that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


app = typer.Typer(
    help="Completion of commands and options by the shell: show the script, or install it.",
    no_args_is_help=True,
)

Which = Annotated[Shell, typer.Argument(help="The shell.", show_default=False)]


@app.command()
def show(shell: Which, json: Json = False) -> None:
    """Print the script that a shell reads to complete `v2g`.

    Example: source <(v2g completion show bash)
    """
    if json:
        show_json({"shell": shell.value, "script": script(shell)})
    else:
        typer.echo(script(shell))


@app.command()
def install(shell: Which, json: Json = False) -> None:
    """Write the script to where the shell looks by itself, for this user; says what else it needs.

    Changes no file of the shell's own. Doing it again brings the script up to date. Exit 0 when written,
    2 when it cannot be.

    Example: v2g completion install bash
    """
    file = place(shell, Path.home(), os.environ.get("XDG_DATA_HOME", ""))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{script(shell)}\n", "utf-8")
    except OSError as error:
        raise fail(
            f"{error.filename or file}: {error.strerror}; expected a folder of this user", status=2
        ) from error
    if json:
        show_json({"shell": shell.value, "file": str(file), "needs": NEEDS[shell]})
    else:
        typer.echo(f"{file}\n{NEEDS[shell]}")


NEEDS: Final = {
    Shell.BASH: "needs the package bash-completion; begins with the next shell",
    Shell.ZSH: "needs in ~/.zshrc: fpath+=(~/.zfunc); autoload -Uz compinit && compinit",
    Shell.FISH: "begins with the next shell",
}
"""What a shell wants beside the script."""


def script(shell: Shell) -> str:
    """What the shell reads: a function that asks this program what could come next."""
    # Its public way is an option that guesses the shell, which a service's user may not have.
    from typer._completion_shared import get_completion_script

    return get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value)


def place(shell: Shell, home: Path, data: str) -> Path:
    """Where the shell looks for scripts of this user.

    Args:
        shell: which.
        home: the user's home.
        data: XDG_DATA_HOME; empty: its default.

    >>> str(place(Shell.FISH, Path("anna"), ""))
    'anna/.config/fish/completions/v2g.fish'
    """
    match shell:
        case Shell.BASH:
            root = Path(data) if data else home / ".local" / "share"
            return root / "bash-completion" / "completions" / PROGRAM
        case Shell.ZSH:
            return home / ".zfunc" / f"_{PROGRAM}"
        case Shell.FISH:
            return home / ".config" / "fish" / "completions" / f"{PROGRAM}.fish"
