"""docs/cli.md: every command with its options, from what `--help` says."""

from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from cli.markdown import GENERATED, heading, row

INTRO: Final = """\
`v2g COMMAND --help` says the same on a terminal; `v2g completion install bash` lets the shell complete
commands and options ([doctor](doctor.md) looks whether the machine is fit). Every command takes `--json`
and then prints one JSON document on standard output, but for those that run until they are stopped; what
went wrong stands on standard error. Exit 0 when done, 2 on what was asked wrongly, other statuses as the
command says. Options in **bold** must be given; a variable in brackets is read where the option is not."""

LIST_MARK: Final = "\b"
"""Before a paragraph of help whose lines are kept as they are."""


def leaves(
    command: TyperCommand | TyperGroup, words: str = ""
) -> Iterator[tuple[str, TyperCommand]]:
    """Every command that does something, by its words after the program's name, in the order of help."""
    if isinstance(command, TyperGroup):
        for word, one in command.commands.items():
            assert isinstance(one, TyperCommand | TyperGroup)
            yield from leaves(one, f"{words} {word}".strip())
    else:
        yield words, command


def root() -> TyperGroup:
    """`v2g` itself, with everything below it."""
    from cli.main import app

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def paragraphs(text: str) -> Iterator[str]:
    r"""A command's help as Markdown: examples and lists of lines as they would be typed.

    >>> list(paragraphs("Does it.\n\n\b\na  one\nb  two\n\nExample: v2g it\n--now"))
    ['Does it.', '```\na  one\nb  two\n```', '```bash\nv2g it --now\n```']
    """
    for part in text.split("\n\n"):
        lines = [line.rstrip() for line in part.strip("\n").splitlines()]
        if lines and lines[0].strip() == LIST_MARK:
            yield "\n".join(["```", *lines[1:], "```"])
            continue
        whole = " ".join(line.strip() for line in lines)
        example = whole.removeprefix("Example: ")
        yield whole if example == whole else f"```bash\n{example}\n```"


def parameter_row(one: Any) -> str:
    """One argument or option, how it is written, its default, and what it means."""
    shown = one.default
    plain = isinstance(shown, str | int | float | bool) and shown is not False and shown != ""
    default = f"`{shown}`" if plain and not one.required and one.show_default else ""
    if isinstance(one, TyperArgument):
        name = one.metavar or f"{one.name}".upper()
    else:
        value = "" if one.is_flag else f" {one.metavar or 'VALUE'}"
        name = ", ".join([*one.opts, *one.secondary_opts]) + value
    name = f"**`{name}`**" if one.required else f"`{name}`"
    several = " (repeatable)" if getattr(one, "multiple", False) else ""
    variable = f" [`{one.envvar}`]" if isinstance(one.envvar, str) else ""
    meaning = " ".join((one.help or "").split())
    return row(name, default, f"{meaning}{several}{variable}")


def command_section(words: str, command: TyperCommand) -> Iterator[str]:
    """One command: how it is called, what it does, and its options."""
    yield f"\n### v2g {words}\n"
    yield "\n\n".join(paragraphs(command.help or ""))
    shown = [
        one
        for one in command.params
        if isinstance(one, TyperArgument | TyperOption) and not one.hidden
    ]
    if shown:
        yield ""
        yield from heading("argument or option", "default", "meaning")
        yield from map(parameter_row, shown)


def cli_page() -> str:
    """docs/cli.md: every command, by its group, in the order of `v2g --help`."""
    lines = ["# Commands", "", GENERATED, INTRO]
    for word, one in root().commands.items():
        assert isinstance(one, TyperCommand | TyperGroup)
        lines.append(f"\n## v2g {word}")
        if isinstance(one, TyperGroup):
            lines.append(f"\n{' '.join((one.help or '').split())}")
        for words, command in leaves(one, word):
            lines += command_section(words, command)
    return "\n".join(lines) + "\n"
