"""Enrolment from the charger's side, against the real registry: proven, approved, and then paid for."""

import socket
import subprocess
import sys
import threading

import pytest

from embedded.processes import free_port
from evse_agent import key
from evse_agent.enrol import enrol
from evse_agent.errors import EnrolmentError
from settlement.possession import verify
from tests.api.served import Served
from tests.evse_agent.harness import Charger


def run(charger: Charger, api: str, invitation: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evse_agent", "enrol", "--config", str(charger.config_file),
         "--api", api, "--invitation", "-"],
        input=invitation + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip


def test_a_charger_proves_its_key_and_a_second_person_approves_it(plain_database, tmp_path):
    with (
        Served(tmp_path, plain_database) as registry,
        Charger(tmp_path / "c", None) as charger,
    ):
        key_id = key.thumbprint(charger.key.public)
        invited = registry.post(
            "/v1/keys/invitations", {"evse_id": charger.content["EvseId"]}, status=201
        )
        token = invited["invitation"]

        done = run(charger, registry.url, token)
        refused = run(charger, registry.url, "another-token")

        assert done.returncode == 0, done.stderr
        assert key_id in done.stdout
        assert "waits for a second person's approval" in done.stdout
        assert token not in done.stdout
        [waiting] = registry.get("/v1/keys/enrolments")["enrolments"]
        assert (waiting["state"], waiting["key_id"]) == ("pending", key_id)
        registry.post(
            f"/v1/keys/enrolments/{waiting['enrolment_id']}/approve", {"key_id": key_id}, by="bert"
        )
        [enrolled] = registry.get("/v1/keys")["keys"]
        assert (enrolled["key_id"], enrolled["evse_id"]) == (key_id, charger.content["EvseId"])
        assert refused.returncode == 5
        assert "the registry answers 40" in refused.stderr


def test_said_again_it_tells_what_has_become_of_the_key(plain_database, tmp_path):
    with (
        Served(tmp_path, plain_database) as registry,
        Charger(tmp_path / "c", None) as charger,
    ):
        invited = registry.post(
            "/v1/keys/invitations", {"evse_id": charger.content["EvseId"]}, status=201
        )
        run(charger, registry.url, invited["invitation"])

        waits = run(charger, registry.url, invited["invitation"])
        path = f"/v1/keys/enrolments/{invited['enrolment_id']}"
        registry.post(f"{path}/reject", {"reason": "not ours"}, by="bert")
        rejected = run(charger, registry.url, invited["invitation"])

        charger.process.stop()
        (tmp_path / "c" / "signing.pem").unlink()
        key.generate(tmp_path / "c" / "signing.pem")
        other = run(charger, registry.url, invited["invitation"])

    assert (waits.returncode, "waits for a second" in waits.stdout) == (0, True), waits.stderr
    assert (rejected.returncode, "was rejected" in rejected.stdout) == (5, True), rejected.stderr
    assert (other.returncode, "was used by key" in other.stderr) == (5, True), other.stderr


def test_an_invitation_is_no_argument_and_is_never_shown(tmp_path):
    with Charger(tmp_path / "c", None) as charger:
        done = subprocess.run(
            [sys.executable, "-m", "evse_agent", "enrol", "--config", str(charger.config_file),
             "--api", "http://127.0.0.1:1", "--invitation", "a-secret-token"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip

    assert done.returncode == 2
    assert "expected a file of mode 0600, or -" in done.stderr
    assert "a-secret-token" not in done.stderr + done.stdout


def test_a_registry_that_answers_nonsense_is_an_error_in_words(tmp_path):
    signer = key.generate(tmp_path / "k.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def nonsense():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"nonsense\r\n\r\n")

        answering = threading.Thread(target=nonsense)
        answering.start()
        with pytest.raises(EnrolmentError, match="nonsense"):
            enrol(f"http://127.0.0.1:{server.getsockname()[1]}", invitation="x", evse_id="E1",
                  signer=signer)  # fmt: skip
        answering.join()


def test_the_proof_is_what_the_registry_reads(tmp_path):
    from evse_agent.enrol import sign_proof

    signer = key.generate(tmp_path / "k.pem")

    proof = verify(sign_proof(signer, nonce="n" * 43, evse_id="E1", invitation="i" * 43))

    assert (proof.evse_id, proof.key_id) == ("E1", key.thumbprint(signer.public))


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("keys.example", "expected a URL"),
        ("http://keys.example", "another machine without TLS"),
        ("ftp://127.0.0.1", "expected a URL"),
    ],
)
def test_an_invitation_is_told_to_nobody_over_a_plain_network(tmp_path, api, expected):
    signer = key.generate(tmp_path / "k.pem")

    with pytest.raises(EnrolmentError, match=expected):
        enrol(api, invitation="secret", evse_id="E1", signer=signer)


def test_a_registry_that_is_not_there_is_named(tmp_path):
    signer = key.generate(tmp_path / "k.pem")

    with pytest.raises(EnrolmentError, match="nobody listens at 127"):
        enrol(f"http://127.0.0.1:{free_port()}", invitation="x", evse_id="E1", signer=signer)
