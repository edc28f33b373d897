"""`v2g keys init`, and `show` and `rotate` without a KEY: the key that signs what is posted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.keys_options import now
from cli.options import Json
from cli.output import console, errors, fail, show_fields, show_json, table

if TYPE_CHECKING:
    from tasks.posting.expiry import Watched
    from tasks.posting.key_making import Made
    from tasks.posting.key_settings import KeySettings
    from tasks.posting.settlement_key import Place

AUTH_EXPIRED_STATUS = 3
"""Exit status of a command that cannot work with its key or certificate, as of the agent."""

KeyOrOurs = Annotated[
    str, typer.Argument(help="A key's id; without one, the settlement key is shown.")
]
OldOrOurs = Annotated[
    str, typer.Argument(help="The key that ends; without one, the settlement key is rotated.")
]
Days = Annotated[int, typer.Option(min=1, max=3650, help="Days for which it counts.")]
Rsa = Annotated[
    bool, typer.Option("--rsa", help="RSA of 2,048 bits, for a partner that cannot verify P-256.")
]
Switch = Annotated[
    bool,
    typer.Option("--switch", help="Put the settlement key that waits in the old one's place."),
]


def init(
    folder: Annotated[
        Path, typer.Argument(help="Where key and certificate are to lie.", show_default=False)
    ],
    rsa: Rsa = False,
    days: Days = 397,
    csr: Annotated[
        bool,
        typer.Option("--csr", help="A request for an authority to sign, instead of a certificate."),
    ] = False,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            envvar="V2G_SETTLEMENT_PASSPHRASE_FILE",
            help="File (mode 0600) with a passphrase; the key's file is encrypted with it.",
            show_default=False,
        ),
    ] = None,
    pkcs11_module: Annotated[
        Path | None,
        typer.Option(
            envvar="V2G_SETTLEMENT_PKCS11_MODULE",
            help="Make the key inside a token, by this PKCS#11 module, and not in a file.",
            show_default=False,
        ),
    ] = None,
    pkcs11_token: Annotated[
        str, typer.Option(envvar="V2G_SETTLEMENT_PKCS11_TOKEN", help="The token's label.")
    ] = "",
    pkcs11_key: Annotated[
        str, typer.Option(envvar="V2G_SETTLEMENT_PKCS11_KEY", help="The label of the new key.")
    ] = "settlement",
    pkcs11_pin_file: Annotated[
        Path | None,
        typer.Option(
            envvar="V2G_SETTLEMENT_PKCS11_PIN_FILE",
            help="File (mode 0600) with the token's PIN.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make the settlement key, which signs what is posted, and its certificate. Overwrites nothing.

    ECDSA on P-256 unless --rsa. The key's file has mode 0600; run this as the user who posts. Exit 0
    when made, 2 when an option will not do, 3 (ERR_AUTH_EXPIRED) when a file or token will not.

    Example: v2g keys init /etc/v2g
    """
    from evse_agent.config import Pkcs11
    from tasks.posting import key_making
    from tasks.posting.settlement_key import CERTIFICATE, PRIVATE, Place

    if pkcs11_module is None:
        place = Place(
            certificate=folder / CERTIFICATE,
            key_file=folder / PRIVATE,
            passphrase_file=passphrase_file,
        )
    elif not pkcs11_token or pkcs11_pin_file is None:
        raise fail("--pkcs11-module: expected --pkcs11-token and --pkcs11-pin-file too", status=2)
    else:
        token = Pkcs11(pkcs11_module, pkcs11_token, pkcs11_key, pkcs11_pin_file)
        place = Place(certificate=folder / CERTIFICATE, token=token)
    with _refusals():
        made = key_making.init(place, now=now(), days=days, rsa_too=rsa, request=csr)
    if json:
        show_json(made)
        return
    _tell(made)
    if place.key_file is not None and passphrase_file is None:
        typer.echo(
            f"note: {place.key_file} is not encrypted, only kept by its mode 0600;"
            " --passphrase-file encrypts it"
        )
    if csr:
        typer.echo(f"next: let the authority sign the request, and save it as {place.certificate}")
    name = "V2G_SETTLEMENT_KEY_FILE" if place.key_file else "V2G_SETTLEMENT_CERT_FILE"
    typer.echo(f"then: {name}={place.key_file or place.certificate} (docs/signatures.md)")


def show_settlement_key(*, json: bool) -> None:
    """The keys of posting as they are configured. Exit 1 where one does not count, 2 where none is."""
    from tasks.posting.expiry import Standing, watch

    found = watch(_settings(), now=now())
    if not found:
        raise fail(
            "no settlement key is configured: V2G_SETTLEMENT_KEY_FILE; make one: v2g keys init DIR,"
            " or name a KEY of the registry",
            status=2,
        )
    if json:
        show_json({"stands": not any(one.problem for one in found), "keys": [*map(_fields, found)]})
    else:
        for one in found:
            show_fields(one.what, _shown(one))
    for one in found:
        if one.problem:
            errors.print(one.problem, style="red", markup=False)
    if any(one.standing is Standing.OVER for one in found):
        raise typer.Exit(1)


def rotate_settlement_key(*, switch: bool, days: int, rsa: bool, json: bool) -> None:
    """Make the key that is to follow; with ``switch`` put it in the old one's place."""
    from tasks.posting import key_making

    place = _place()
    with _refusals():
        if switch:
            made = key_making.switch(place, now=now())
        else:
            made = key_making.prepare(place, now=now(), days=days, rsa_too=rsa)
    if json:
        show_json(made)
        return
    _tell(made)
    if not switch:
        typer.echo("the old key goes on signing. When the partner knows the new one:")
        typer.echo("v2g keys rotate --switch")
    elif made.label:
        typer.echo(f"now set V2G_SETTLEMENT_PKCS11_KEY={made.label}: from then on it signs")
    else:
        typer.echo("the new key signs from now on; the old one is kept beside it, with the time")


def _settings() -> "KeySettings":
    from pydantic import ValidationError

    from tasks.posting.key_settings import KeySettings

    try:
        return KeySettings()
    except ValidationError as error:
        raise fail("\n".join(one["msg"] for one in error.errors()), status=2) from error


def _place() -> "Place":
    place = _settings().place
    if place is None:
        raise fail(
            "no settlement key is configured: V2G_SETTLEMENT_KEY_FILE; make one: v2g keys init DIR,"
            " or name OLD and NEW of the registry",
            status=2,
        )
    return place


@contextmanager
def _refusals() -> Iterator[None]:
    """What cannot be done, on one line: exit 3 for a key or certificate, 2 for a file or folder."""
    from storage.secrets import InsecureSecretError
    from tasks.posting.settlement_key import SettlementKeyError

    try:
        yield
    except SettlementKeyError as error:
        raise fail(f"{error}", status=AUTH_EXPIRED_STATUS) from error
    except InsecureSecretError as error:
        raise fail(f"{error}", status=2) from error
    except OSError as error:
        raise fail(f"{error}; expected a folder that can be written", status=2) from error


def _tell(made: "Made") -> None:
    rows = [
        (str(path), "for the partner" if path in made.for_partner else "") for path in made.files
    ]
    console.print(table(f"{made.algorithm} key {made.key_id}", ("file", ""), rows))
    typer.echo(f"the key is in {made.where}")
    for path in made.for_partner:
        typer.echo(f"hand to the partner: {path}, and by another way the thumbprint {made.key_id}")


def _fields(one: "Watched") -> dict[str, object]:
    return {
        **asdict(one),
        "state": one.standing.value,
        "days_left": one.days_left,
        "warned_at_days": one.threshold,
    }


def _shown(one: "Watched") -> dict[str, object]:
    return {
        "state": one.standing.value,
        "thumbprint": one.key_id,
        "algorithm": one.algorithm,
        "where": one.where,
        "valid from": one.not_before or "no certificate says it",
        "until": one.not_after or "no certificate says it",
        "days left": "" if one.days_left is None else one.days_left,
    }
