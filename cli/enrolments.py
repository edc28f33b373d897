"""`v2g keys invite|enrolments|approve|reject`: a device's key, by its own proof and two people's word."""

from dataclasses import asdict
from typing import Annotated

import typer

from cli.keys_options import By, Reason, now, refusals
from cli.options import Database, Json
from cli.output import console, errors, fail, show_json
from cli.spans import span

Enrolment = Annotated[str, typer.Argument(help="The enrolment, as `v2g keys enrolments` shows it.")]


def invite(
    evse: Annotated[str, typer.Argument(help="The EVSE whose device may enrol a key.")],
    by: By,
    database: Database,
    client: Annotated[
        str, typer.Option(help="The MQTT identity that brings its packets; default: the EVSE's id.")
    ] = "",
    meter: Annotated[str, typer.Option(help="For a key that signs a meter's records.")] = "",
    allow_curve: Annotated[str, typer.Option(help="What the key must lie on.")] = "secp256r1",
    replaces: Annotated[str, typer.Option(help="The key id that the new key rotates.")] = "",
    overlap: Annotated[str, typer.Option(help="How long that one still stands.")] = "7d",
    valid_for: Annotated[str, typer.Option(help="How long the invitation stands.")] = "7d",
    json: Json = False,
) -> None:
    """Invite the device of an EVSE to enrol a key: shows a one-time token, once.

    On the device: python -m evse_agent enrol --config FILE --api URL, which reads the token from
    standard input. Then somebody else approves. The token is kept only as a hash.

    Example: v2g keys invite 'DE*ABC*E1001' --by anna
    """
    from storage import enrolments as steps
    from storage.key_changes import plain, registry

    zero = span("--overlap", "0s")
    with refusals(), registry(database) as conn:
        enrolment, token = steps.invite(
            conn,
            evse,
            by=by,
            clock=now,
            client_id=client,
            meter_id=meter,
            curve=allow_curve,
            replaces=replaces,
            overlap=span("--overlap", overlap) if replaces else zero,
            valid_for=span("--valid-for", valid_for),
        )
    if json:
        show_json({**plain(asdict(enrolment)), "invitation": token})
        return
    errors.print(
        f"enrolment {enrolment.enrolment_id} of EVSE {enrolment.evse_id}, until"
        f" {enrolment.expires_at:%Y-%m-%d %H:%M}Z; the invitation is shown only now:",
        markup=False,
    )
    console.print(token, markup=False, soft_wrap=True)


def enrolments(
    database: Database,
    state: Annotated[
        str, typer.Option(help="invited, pending, approved or rejected; default: all.")
    ] = "",
    json: Json = False,
) -> None:
    """Show enrolments and what became of them, the latest first.

    Example: v2g keys enrolments --state pending
    """
    from cli.keys_shown import show_enrolments
    from storage import enrolment_records
    from storage.key_changes import registry

    if state not in ("", *enrolment_records.STATES):
        expected = ", ".join(enrolment_records.STATES)
        raise fail(f"--state: {state!r}; expected one of {expected}", status=2)
    with refusals(), registry(database) as conn:
        found = enrolment_records.listed(conn, state=state)
    show_enrolments(found, json=json)


def approve(
    enrolment: Enrolment,
    by: By,
    database: Database,
    key: Annotated[
        str, typer.Option(help="The thumbprint that the device's people told you; compared.")
    ] = "",
    json: Json = False,
) -> None:
    """Enrol the key that a device has proven, from the time of its proof. Not by who invited.

    Example: v2g keys approve 5f0c2b6a91d4e807 --by bert
    """
    from storage import enrolments as steps
    from storage.key_changes import plain, registry

    with refusals(), registry(database) as conn:
        done = steps.approve(conn, enrolment, by=by, clock=now, key_id=key)
    if json:
        show_json(plain(asdict(done)))
    else:
        typer.echo(f"key {done.key_id} is enrolled for EVSE {done.evse_id}")


def reject(
    enrolment: Enrolment,
    by: By,
    reason: Reason,
    database: Database,
    json: Json = False,
) -> None:
    """Refuse a key that waits for approval, or withdraw an invitation.

    Example: v2g keys reject 5f0c2b6a91d4e807 --by bert --reason 'not our charger'
    """
    from storage import enrolments as steps
    from storage.key_changes import plain, registry

    with refusals(), registry(database) as conn:
        done = steps.reject(conn, enrolment, by=by, reason=reason, clock=now)
    if json:
        show_json(plain(asdict(done)))
    else:
        typer.echo(f"enrolment {done.enrolment_id} of EVSE {done.evse_id} is rejected")
