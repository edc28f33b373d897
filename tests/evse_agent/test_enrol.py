"""Enrolment from the charger's side, against the real registry: proven, approved, and then paid for."""

import subprocess
import sys

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


def test_the_proof_is_what_the_registry_reads(tmp_path):
    from evse_agent.enrol import sign_proof

    signer = key.generate(tmp_path / "k.pem")

    proof = verify(sign_proof(signer, nonce="n" * 43, evse_id="E1", invitation="i" * 43))

    assert (proof.evse_id, proof.key_id) == ("E1", key.thumbprint(signer.public))


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("registry.example", "expected a URL"),
        ("http://registry.example", "another machine without TLS"),
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
