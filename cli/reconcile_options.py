"""What `v2g reconcile`, `v2g disputes` and `v2g payout-file` share: options, and how refusals end them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.output import fail

By = Annotated[
    str, typer.Option(help="Who does this; it stands in the record.", show_default=False)
]
Partner = Annotated[
    str, typer.Option(help="Whose postings: the name they are posted under.", show_default=True)
]
PayeesFile = Annotated[
    Path | None,
    typer.Option(
        "--payees",
        envvar="V2G_PAYEES_FILE",
        show_default=False,
        help="CSV of accounts at banks, mode 0600: account, name, iban, and bic where wanted.",
    ),
]


@contextmanager
def refusals() -> Iterator[None]:
    """What cannot be done, on one line: exit 2 for what was said or given, 1 for what stands against it."""
    from iso20022 import Iso20022Error
    from storage.dispute_evidence import NoSuchPostingError
    from storage.disputes import NoSuchDisputeError
    from storage.errors import InsecureSecretError, StorageError
    from storage.partner_statements import NoSuchStatementError
    from storage.payout_files import NoSuchPayoutFileError
    from storage.reconciliations import NoSuchDifferenceError

    said = (
        Iso20022Error,
        InsecureSecretError,
        NoSuchDifferenceError,
        NoSuchDisputeError,
        NoSuchPayoutFileError,
        NoSuchPostingError,
        NoSuchStatementError,
    )
    try:
        yield
    except said as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    except OSError as error:
        raise fail(f"{error}; expected a file that can be read and written", status=2) from error


def named(option: str, value: str) -> str:
    """A name that somebody answers for. Raises typer.Exit (2) where there is none."""
    if not value.strip() or len(value) > 100 or not value.isprintable():  # noqa: PLR2004 - said here
        raise fail(f"{option}: {value[:40]!r}; expected a name of at most 100 letters", status=2)
    return value.strip()
