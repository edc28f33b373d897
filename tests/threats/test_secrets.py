"""S21: a canary in place of every secret of posting; it must stand nowhere but in its own file."""

import logging
import os
import subprocess
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from embedded.processes import free_port
from simulators.clearinghouse import WELL_BEHAVED, Authority, ClearingHouse
from tasks.posting import draining
from tasks.posting.call import Call
from tasks.posting.run import Clearinghouse, post_pending
from tests import canary
from tests.api.served import Served
from tests.canary import Canary
from tests.chaos.setting import book, made, now
from tests.ingest_daemon.harness import Daemon
from tests.tasks.posting.keys import made_in
from tests.tasks.posting.scripted import ScriptedServer, response

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


@pytest.fixture
def token(tmp_path: Path) -> tuple[Canary, Path]:
    one = Canary()
    return one, one.file(tmp_path / "token")


def run_poster(
    program: str, environment: dict[str, str], watched: list[Canary]
) -> tuple[int, bytes]:
    """A poster of its own, whose command line and environment are looked at while it runs."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("V2G_")} | environment
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        said = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            for one in watched:
                assert canary.in_processes(one) == []
        return process.wait(DEADLINE_S), b"".join(said)


@pytest.mark.slow
def test_s21_no_secret_of_posting_leaves_its_file(
    plain_database: str, tmp_path: Path, token: tuple[Canary, Path]
) -> None:
    # given a token, and a key that is encrypted; both partners sign, over TLS
    secret, token_file = token
    passphrase = Canary()
    passphrase_file = passphrase.file(tmp_path / "passphrase")
    place = made_in(tmp_path / "key", now=now(), passphrase_file=passphrase_file).place
    authority = Authority(tmp_path / "ca")
    book(plain_database, made(1, 30), at=now())
    with ClearingHouse(
        token=secret.value,
        misbehaviour=WELL_BEHAVED,
        tls=authority.server(),
        require_key=place.certificate,
        sign_with=ec.generate_private_key(ec.SECP256R1()),
    ) as house:
        environment = {
            "V2G_DATABASE_URL": plain_database,
            "V2G_CLEARINGHOUSE_URL": house.url,
            "V2G_CLEARINGHOUSE_TOKEN_FILE": str(token_file),
            "V2G_CLEARINGHOUSE_CA_FILE": str(authority.certificate),
            "V2G_SETTLEMENT_KEY_FILE": str(place.key_file),
            "V2G_SETTLEMENT_PASSPHRASE_FILE": str(passphrase_file),
        }
        both = [secret, passphrase]
        # when one poster posts, saying all that it can say, another falls over in the middle of it,
        # and a third finds another passphrase
        loud = "import logging; logging.basicConfig(level=1); from cli.main import app; "
        code, said = run_poster(f"{loud} app(['post', '--until-empty'])", environment, both)
        book(plain_database, made(31, 5), at=now())
        falls = (
            "import tasks.posting.call as call\n"
            "def fall(*given): raise MemoryError\n"
            "call._judged = fall\n"
        )
        _, fallen = run_poster(f"{falls}{loud} app(['post'])", environment, both)
        other = Canary().file(tmp_path / "other")
        refused, why = run_poster(
            f"{loud} app(['post'])",
            environment | {"V2G_SETTLEMENT_PASSPHRASE_FILE": str(other)},
            both,
        )
        truth = house.truth()
    # then the first has posted, the others have said what there is to say
    assert (code, len(truth.postings) >= 30) == (0, True), said.decode()
    assert b"Traceback" in fallen or b"unforeseen" in fallen, fallen.decode()
    assert refused != 0, why.decode()
    # and neither secret is anywhere
    for one, file in ((secret, token_file), (passphrase, passphrase_file)):
        for text in (said, fallen, why):
            assert not one.is_in(text)
        assert canary.in_database(one, plain_database) == []
        assert canary.in_files(one, [tmp_path], but=[file]) == []


def test_s21_a_partner_that_says_our_token_back_does_not_get_it_into_the_books(
    plain_database: str, token: tuple[Canary, Path], caplog: pytest.LogCaptureFixture
) -> None:
    # given a gateway that shows what it was sent, as those in want of debugging do
    secret, _ = token
    caplog.set_level(logging.DEBUG)
    book(plain_database, made(1, 3), at=now())

    def echoing(status: int):
        def answer(request, connection):
            shown = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
            connection.sendall(response(status, shown.encode()))

        return answer

    for status in (500, 200, 401):
        with ScriptedServer(echoing(status)) as server:
            # when it is posted to
            post_pending(
                plain_database,
                Clearinghouse(server.url, secret.value, asks_status=False),
                clock=now,
                random=Random(1),
                limit=1,
            )
            assert server.requests
    # then receipts and states tell of its answers without the token
    assert canary.in_database(secret, plain_database) == []
    assert not secret.is_in(caplog.text.encode())


def test_s21_a_traceback_with_every_local_value_shows_no_token(
    plain_database: str, token: tuple[Canary, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a step that fails with the secret in reach
    secret, _ = token
    book(plain_database, made(1, 1), at=now())

    async def fail(client: object, clearinghouse: object, *_: object, **__: object) -> Call:
        raise MemoryError

    monkeypatch.setattr(draining, "send", fail)
    clearinghouse = Clearinghouse("http://127.0.0.1:1", secret.value)
    # when somebody takes down all there is to see
    with pytest.raises(MemoryError) as caught:
        post_pending(plain_database, clearinghouse, clock=now, random=Random(1))
    ours = caught.value.with_traceback(caught.tb.tb_next)  # without this test, which knows it
    text = "".join(traceback.TracebackException.from_exception(ours, capture_locals=True).format())
    # then there is much, but not the token
    assert "clearinghouse" in text
    assert not secret.is_in(text.encode())


@pytest.mark.slow
def test_s21_the_daemon_and_the_http_service_tell_nobody_their_passwords_and_tokens(
    plain_database: str, tmp_path: Path
) -> None:
    # given a broker's password, and tokens of uploads and of the service; both log all that they can
    password, intake = Canary(), Canary()
    files = [password.file(tmp_path / "mqtt"), intake.file(tmp_path / "intake")]
    for folder in ("daemon", "api"):
        (tmp_path / folder).mkdir()
    with ExitStack() as stack:
        daemon = Daemon(
            tmp_path / "daemon",
            plain_database,
            mqtt_host="127.0.0.1",
            mqtt_port=free_port(),  # where nobody is
            mqtt_username="daemon",
            mqtt_password_file=files[0],
            intake_token_file=files[1],
        )
        stack.push(daemon)
        daemon.start(ready=False)
        api = stack.enter_context(Served(tmp_path / "api", plain_database, log_level="DEBUG"))
        # when uploads come with the right token and with one that is nearly right, and the service
        # is asked by somebody who may and by somebody who may not
        for token in (intake.value, intake.value[:-1]):
            daemon.post(b"no packet", token=token)
        operator = Canary(api.tokens["anna"])
        for path in ("/v1/keys", "/v1/nothing"):
            api.send("GET", path, by="anna")
        shown = daemon.get("/metrics").content
        running = [
            one for each in (password, intake, operator) for one in canary.in_processes(each)
        ]
    # then it stands in no log, metric, process or table; of the operator's not even in a file
    assert running == []
    for one in (password, intake, operator):
        assert not one.is_in(shown)
        assert canary.in_files(one, [tmp_path], but=files) == []
        assert canary.in_database(one, plain_database) == []
