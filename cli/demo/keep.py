"""What stays up with --keep: Prefect's UI with its schedules, the HTTP intake, the daemon."""

import shlex
import time
from dataclasses import replace
from datetime import timedelta
from typing import Final

from cli.demo.steps import Steps
from cli.demo.world import World
from cli.output import console
from simulators.evening import Evening
from simulators.signing import payload_of

DEPLOY_DEADLINE_S: Final = 300.0
LOOK_EVERY_S: Final = 1.0
HOLD_BACK: Final = timedelta(minutes=5)


def write_packets_to_try(world: World, evening: Evening) -> None:
    """Write what the story by curl needs: a packet, its contradiction, and the settings of this demo.

    The packet begins an epoch of its own, right after the evening, with the meter where it stood, so it
    lands in nobody's way; the contradiction is signed well by the same key, for the same identity, with
    other content.
    """
    folder = world.folder / "try"
    folder.mkdir()
    last = max(evening.steps, key=lambda step: step.content.ended_at).content
    first = replace(
        last,
        stream_epoch=last.stream_epoch + 1_000,
        sequence=1,
        started_at=last.ended_at + HOLD_BACK,
        ended_at=last.ended_at + HOLD_BACK + timedelta(seconds=15),
        power_start_w=0,
        power_end_w=0,
        export_start_milliwh=last.export_end_milliwh,
        import_start_milliwh=last.import_end_milliwh,
        soc_start_ppm=last.soc_end_ppm,
    )
    other = replace(first, export_end_milliwh=first.export_end_milliwh + 1_000)
    signer = evening.signers[first.evse_id]
    (folder / "packet.jws").write_bytes(signer.sign(payload_of(first)))
    (folder / "contradiction.jws").write_bytes(signer.sign(payload_of(other)))
    (folder / "key.pem").write_bytes(_pem(signer.public_key))
    token = world.intake_token.read_text().strip()
    world.private("try/authorization", f"Authorization: Bearer {token}\n")
    settings = world.settings | {"V2G_INTAKE_URL": world.http_url}
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
    world.private("env", "".join(lines))


def _pem(der: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    return load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def keep_up(world: World, steps: Steps) -> None:
    """Deploy the schedules, start a worker, say what to open, and wait for Ctrl-C."""
    prefect = world.prefect.environment
    with steps.step("deploy the scheduled flows"):
        deploy = world.child("deploy", ("-m", "flows.deploy"), prefect)
        with deploy:
            status = deploy.wait(deadline_s=DEPLOY_DEADLINE_S)
        if status != 0:
            raise RuntimeError(f"deploying ended with {status}:\n{deploy.log_tail()}")
    worker = ("-m", "prefect", "worker", "start", "--pool", "v2g", "--type", "process")
    world.start("worker", worker, prefect)
    world.private("prefect-login", f"{world.prefect.login}\n")
    name = world.folder.name
    shown = {
        "Prefect's UI": f"{world.prefect.ui_url}  (login in {name}/prefect-login)",
        "HTTP intake": f"{world.http_url}/v1/packets  (header in {name}/try/authorization)",
        "daemon's health": f"{world.http_url}/readyz",
        "utility": f"{world.utility.url}/dcap  (IEEE 2030.5; certificates in {name}/certificates)",
        "settings for v2g": f". {name}/env; then: v2g grid events, v2g thermal status,"
        " v2g reconcile differences, v2g keys show",
        "database": f"psql {shlex.quote(world.dsn + ' user=v2g_read')}",
        "logs": f"{name}/logs",
    }
    console.print("\n[bold]Everything stays up until Ctrl-C.[/]")
    for part, what in shown.items():
        console.print(f"  {part:17} {what}", soft_wrap=True, markup=False)
    console.print("The README's story by curl works now, in another terminal.")
    try:
        while not (ended := world.ended()):
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        return
    raise RuntimeError(f"ended by itself: {', '.join(ended)}; see {name}/logs")
