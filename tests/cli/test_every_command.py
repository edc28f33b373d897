"""What holds for every command: a program can read what it says, and its help teaches."""

import pytest

from cli.docs_cli import leaves, root

WITHOUT_JSON = {
    "demo": "runs a whole evening, and stays up with --keep: its story is for people",
    "simulate": "servers that run until they are stopped; what they count is asked over their protocol",
}
"""Commands that print no JSON, each with its reason; a group stands for all in it."""

COMMANDS = dict(leaves(root()))


def excused(name: str) -> str:
    return next((one for one in WITHOUT_JSON if f"{name} ".startswith(f"{one} ")), "")


def options(command) -> set[str]:
    return {word for one in command.params for word in one.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_program_can_read_what_a_command_says(name):
    assert ("--json" in options(COMMANDS[name])) is not bool(excused(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_in_a_sentence_what_it_does_and_what_each_option_means(name):
    command = COMMANDS[name]
    first = (command.help or "").partition("\n\n")[0].rstrip()

    assert first.endswith((".", "…", "?")), first
    assert [one.opts for one in command.params if not getattr(one, "help", "")] == []


def test_no_reason_is_kept_for_a_command_that_is_gone():
    assert {excused(name) for name in COMMANDS} - {""} == set(WITHOUT_JSON)
