"""The steps of infra/README.md set up a broker that works, and the steps of docs/transport.md shut one out."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from embedded.processes import wait_until
from embedded.tls_broker import TlsBroker
from tasks import certificate_folder
from tests.tls import CACHE, ROOT, ClientFiles, Connection, TlsSite

A = "DE*V2G*E00001"
B = "DE*V2G*E00002"
TAKEN = {"Success", "No matching subscribers"}


def steps(page: Path, heading: str, number: int) -> str:
    """The commands of the n-th block below a heading."""
    section = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks: list[str] = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    return blocks[number]


def test_the_steps_of_the_readme_make_what_the_configuration_names(tmp_path):
    # given the steps, on another folder and without other users
    etc, authority = tmp_path / "etc", tmp_path / "authority"
    etc.mkdir()
    page = ROOT / "infra" / "README.md"
    script = steps(page, "Broker", 0) + steps(page, "Broker", 2)
    for theirs, ours in {
        "/opt/v2g-settlement": str(ROOT),
        "/var/lib/v2g-authority": str(authority),
        "/etc/v2g": str(etc),
        "sudo .venv/bin/v2g": f"{Path(sys.executable).parent}/v2g",
        "sudo ": "",
        "-o mosquitto ": "",
        "-o v2g ": "",
    }.items():
        assert theirs in script
        script = script.replace(theirs, ours)
    script = re.sub(r"^setfacl .*$", "", script, flags=re.MULTILINE)

    # when they are followed
    subprocess.run(["bash", "-euc", script], check=True, timeout=60, capture_output=True)

    # then every file that the configuration names is there, keys for their owner alone
    text = (ROOT / "infra" / "mosquitto.conf").read_text()
    named = {Path(one).name for one in re.findall(r" /etc/v2g/(\S+)$", text, re.MULTILINE)}
    assert named == {"ca.pem", "broker_cert.pem", "broker_private.key"}
    assert named <= {one.name for one in etc.iterdir()}
    assert {stat.S_IMODE(key.stat().st_mode) for key in etc.glob("*.key")} == {0o600}

    # and so is every file that the daemon's example settings name
    example = (ROOT / "infra" / "settlement.env.example").read_text()
    for one in re.findall(r"^V2G_MQTT_TLS_\w+=/etc/v2g/(\S+)$", example, re.MULTILINE):
        assert (etc / one).exists()

    # and a broker with them lets daemon and charger in
    files = {
        "acl_file": ROOT / "infra" / "v2g.acl",
        "cafile": etc / "ca.pem",
        "certfile": etc / "broker_cert.pem",
        "keyfile": etc / "broker_private.key",
    }
    configuration = ROOT / "infra" / "mosquitto.conf"
    with TlsBroker(
        tmp_path / "broker", cache=CACHE, configuration=configuration, files=files
    ) as broker:
        charger = "DE*ABC*E0001*1"
        for pair in [
            ClientFiles(etc / "settlement_cert.pem", etc / "settlement_private.key"),
            ClientFiles(
                authority / "chargers" / f"{charger}_cert.pem",
                authority / "chargers" / f"{charger}_private.key",
            ),
        ]:
            context = TlsSite.trusting(etc / "ca.pem", pair)
            with Connection(broker.host, broker.port, context) as client:
                assert client.answer == "Success"


def test_two_lines_in_the_access_list_shut_a_stolen_certificate_out(tls_broker: TlsSite):
    # given a charger whose certificate was stolen, and which is connected
    lines = re.search(r"\(`(user) NAME`, `(topic deny v2g/#)`\)", transport())
    assert lines
    with (
        tls_broker.connect("v2g-settlement") as daemon,
        tls_broker.connect(A) as thief,
        tls_broker.connect(B) as other,
    ):
        assert thief.publish(f"v2g/{A}/telemetry", b"before") in TAKEN

        # when the operator adds the lines and reloads
        access_list = tls_broker.broker.folder / "broker" / "acl_file"
        with access_list.open("a") as file:
            file.write(f"\n{lines.group(1)} {A}\n{lines.group(2)}\n")
        pid = tls_broker.broker.pid
        assert pid
        os.kill(pid, signal.SIGHUP)

        # then it is heard no more
        wait_until(
            lambda: thief.publish(f"v2g/{A}/telemetry", b"after") == "Not authorized",
            deadline_s=20,
            what="the broker to take the new list",
        )
        # and hears nothing, also when it comes again
        with tls_broker.connect(A) as again:
            again.subscribe(f"v2g/{A}/receipt")
            daemon.publish(f"v2g/{A}/receipt", b"for A")
            again.subscribe(f"v2g/{A}/command")  # answered after what was published before
            assert again.messages.empty()
        # and the others are not disturbed
        daemon.subscribe("v2g/+/telemetry")
        assert other.publish(f"v2g/{B}/telemetry", b"of B") == "Success"
        assert daemon.next_message()[1] == b"of B"


def test_a_renewed_certificate_is_shown_after_a_reload_and_over_websockets_after_a_restart(
    tls_broker: TlsSite,
):
    # given a broker whose certificate is renewed while it runs
    broker = tls_broker.broker
    old = shown(tls_broker)
    pair = certificate_folder.renew(tls_broker.folder, "broker", now=datetime.now(UTC))
    new = certificate_folder.read_certificate(pair.certificate).serial_number
    assert old == [old[0], old[0]]
    assert old[0] != new

    # when it reloads
    (broker.folder / "broker" / "certfile").write_bytes(pair.certificate.read_bytes())
    assert broker.pid
    os.kill(broker.pid, signal.SIGHUP)

    # then 8883 shows the new one, and 8884 after a restart
    wait_until(lambda: shown(tls_broker)[0] == new, deadline_s=20, what="the new certificate")
    assert shown(tls_broker) == [new, old[1]], "mosquitto has learnt to reload it: say so"
    broker.stop()
    broker.start()
    assert shown(tls_broker) == [new, new]


def shown(site: TlsSite) -> list[int]:
    """The serial number of the certificate that each listener shows."""
    found = []
    for port in site.broker.ports:
        context = site.context("EVSE-1")
        with (
            socket.create_connection((site.host, port), 10) as plain,
            context.wrap_socket(plain, server_hostname=site.host) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
            assert der
            found.append(x509.load_der_x509_certificate(der).serial_number)
    return found


def transport() -> str:
    return re.sub(r"\s+", " ", (ROOT / "docs" / "transport.md").read_text())
