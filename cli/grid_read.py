"""`v2g grid read`: what stored IEEE 2030.5 documents say, and what follows from it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.output import fail, show_json

if TYPE_CHECKING:
    from grid.records import Refusal

REFUSED: Final = 1
UNUSABLE: Final = 2
FILES_MAX: Final = 10_000
TOTAL_MAX_BYTES: Final = 2**28
RESUMES_SINCE: Final = 2023


def read(
    files: Annotated[
        list[Path],
        typer.Argument(
            show_default=False,
            help="Documents as a server sent them, of any kinds and in any order; or folders, of which "
            "all *.xml are read.",
        ),
    ],
    edition: Annotated[
        int,
        typer.Option(
            help="Of IEEE 2030.5 that the server follows, 2018 or 2023: may an event go on after "
            "another one of its program that took over all its controls?"
        ),
    ] = 2018,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="List what the schemas of 2018 and of 2023 do not allow, as `schema`.",
        ),
    ] = False,
    json: Annotated[  # noqa: ARG001 - taken, so that every command takes it
        bool, typer.Option("--json", help="As without it: JSON is all that this prints.")
    ] = False,
) -> None:
    """Print what stored IEEE 2030.5 documents say, as one JSON document.

    No server, no database, no network. Found are programs, controls with their setpoints, prices put
    together from the documents that say them, and the effective windows: when each event really
    counts for a device that all of these programs address, whatever its status says.

    Pages of one list are joined, and so is what links to each other. Where a list does not say its own
    address, the file may begin with the comment of a capture: <!-- GET /edev/1/tp/1/rc?s=0 -->

    \b
    programs   with their primacy; the lower one is in force
    controls   the latest version of each; percentages also in watts where one DERSettings is read
    windows    effective windows in time order, with why each begins and ends
    prices     per kWh, exact; export: for what flows from the customer (flowDirection 19)
    documents  what each file is
    missing    pages, lists of controls and pieces of prices that are announced and not among the files
    refused    what could not be read: where, what was found, what was expected

    Exit 0 when all was read, 1 when something was refused, 2 when no file could be used.

    Example: v2g grid read captured/*.xml | jq .windows
    """  # noqa: D301 - the mark that keeps a list's lines is no escape in raw text
    from cli.grid_read_shown import shown_of
    from grid.sep2 import stored, validation

    if edition not in validation.EDITIONS:
        raise fail(f"--edition {edition}: expected 2018 or 2023", status=UNUSABLE)
    bodies, unread = _bodies(files)
    found = stored.read(bodies)
    found.refused += unread
    shown = shown_of(found, resumes=edition >= RESUMES_SINCE)
    if validate:
        shown["schema"] = _schema(bodies)
    show_json(shown)
    if not any(found.items.values()):
        raise fail(
            f"none of {len(files)} files could be used; `refused` says why of each", status=UNUSABLE
        )
    if found.refused:
        raise typer.Exit(REFUSED)


def _bodies(files: list[Path]) -> tuple[list[tuple[str, bytes]], list["Refusal"]]:
    """The files' bytes; never more of one than a document may have, nor of all than ``TOTAL_MAX_BYTES``."""
    from grid.records import Refusal
    from grid.sep2.documents import BODY_MAX_BYTES

    bodies: list[tuple[str, bytes]] = []
    refused = []
    total = 0
    for number, path in enumerate(_each(files)):
        try:
            with path.open("rb") as stream:
                body = stream.read(BODY_MAX_BYTES + 1)
        except OSError as error:
            refused.append(Refusal(str(path), f"{error.strerror}", "a file that can be read"))
            continue
        total += len(body)
        if number >= FILES_MAX or total > TOTAL_MAX_BYTES:
            expected = f"at most {FILES_MAX} files and {TOTAL_MAX_BYTES >> 20} MiB at once"
            refused.append(Refusal(str(path), "more files than are read at once", expected))
            break
        bodies.append((str(path), body))
    return bodies, refused


def _each(files: list[Path]) -> Iterator[Path]:
    for path in files:
        if path.is_dir():
            yield from sorted(path.glob("*.xml"))
        else:
            yield path


def _schema(bodies: list[tuple[str, bytes]]) -> list[dict[str, Any]]:
    from grid.sep2 import validation
    from grid.sep2.errors import Sep2Error

    found: list[validation.Finding] = []
    for where, body in bodies:
        try:
            for edition in validation.EDITIONS:
                found += validation.findings(body, where=where, edition=edition)
        except Sep2Error:
            continue  # stands among what was refused
    return [asdict(one) for one in found]
