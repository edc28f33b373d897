"""S16, S19, S22 and S23: what a participant, a bank, a colleague on the machine and a network try."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import psycopg
import pytest

from grid.sep2 import documents
from grid.sep2.errors import Sep2Error
from simulators.clearinghouse import WELL_BEHAVED, Authority, ClearingHouse, Showing
from storage import outbox
from storage.engine import Role, connect
from storage.errors import InsecureSecretError
from tasks.posting.key_errors import SettlementKeyError
from tasks.posting.key_settings import KeySettings
from tasks.posting.run import Clearinghouse, post_pending
from tasks.reconciling.rows import UnreadableStatementError
from tasks.screening import screen
from tasks.settings import Settings, clearinghouse_of
from tests.chaos.setting import book, made, now
from tests.iso20022 import samples
from tests.postings import NOON, posting
from tests.tasks.posting.keys import made_in
from tests.tasks.reconciling.scene import Scene

TOKEN = "secret"
DAILY_CENTS = 500_000
"""What storage.limits allows to one vehicle a day, in cents, where nobody has said otherwise."""


def states(dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return dict(conn.execute("select state, count(*) from posting_state group by 1").fetchall())


# --- S16 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cents", "sent"), [(DAILY_CENTS, 0), (DAILY_CENTS + 1, 0), (99_999, 1)])
def test_s16_a_payout_beyond_a_limit_parks_its_account_and_goes_nowhere(
    plain_database: str, cents: int, sent: int
) -> None:
    # given a payout at a bound, and one to the same account that breaks none
    with connect(plain_database, Role.SETTLE) as conn:
        outbox.enqueue(conn, [posting(1, account="a", amount_minor=cents)], NOON)
        conn.commit()
    # when it is screened, and whatever may go is sent
    screened = screen(plain_database, clock=now)
    with ClearingHouse(token=TOKEN, misbehaviour=WELL_BEHAVED) as house:
        post_pending(plain_database, Clearinghouse(house.url, TOKEN), clock=now, random=Random(1))
        paid = len(house.truth().postings)
    # then what is large waits for a person, and what breaks the limit parks its account besides
    assert paid == sent
    assert bool(screened.accounts) == (cents > DAILY_CENTS)


# --- S19 ---------------------------------------------------------------------------------------------

DECLARATIONS: dict[str, Callable[[Path], str]] = {
    "a file of the machine": lambda secret: f'<!ENTITY x SYSTEM "file://{secret}">',
    "a parameter entity": lambda secret: f'<!ENTITY % x SYSTEM "file://{secret}"> %x;',
    "an address": lambda _: '<!ENTITY x SYSTEM "http://127.0.0.1:1/x">',
    "a billion laughs": lambda _: (
        '<!ENTITY a "lol">'
        + "".join(
            f'<!ENTITY {name} "{f"&{before};" * 10}">'
            for before, name in zip("abcdefgh", "bcdefghx", strict=True)
        )
    ),
    "nothing at all": lambda _: "",
}


@pytest.mark.parametrize("declaration", DECLARATIONS.values(), ids=DECLARATIONS)
def test_s19_a_notification_of_a_bank_with_a_document_type_is_refused_and_discloses_nothing(
    plain_database: str, tmp_path: Path, declaration: Callable[[Path], str]
) -> None:
    # given a notification that is good but for what stands before it, and a file worth reading
    secret = tmp_path / "secret"
    secret.write_text("the content of the file")
    good = samples.notification([samples.entry([samples.payment("p-1")])])
    attack = good.replace(
        b"<Document", f"<!DOCTYPE Document [{declaration(secret)}]><Document".encode(), 1
    ).replace(b">p-1<", b">&x;<")
    assert attack != good
    scene = Scene(plain_database)
    # when it is imported
    with pytest.raises(UnreadableStatementError) as refused:
        scene.bring(attack, name="july.xml", partner="bank")
    # then nothing of it is stored, and nothing of the machine is told
    assert "content of the file" not in str(refused.value)
    assert scene.ask("select count(*) from partner_statement") == [(0,)]


@pytest.mark.parametrize("declaration", DECLARATIONS.values(), ids=DECLARATIONS)
def test_s19_a_utilitys_document_with_a_document_type_is_refused(
    tmp_path: Path, declaration: Callable[[Path], str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the content of the file")
    body = f"<!DOCTYPE Time [{declaration(secret)}]><Time>&x;</Time>".encode()
    with pytest.raises(Sep2Error, match="document type") as refused:
        documents.tree(body, where="/tm")
    assert "content of the file" not in str(refused.value)


# --- S22 ---------------------------------------------------------------------------------------------


def readable(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def elsewhere(path: Path) -> None:
    """A link, which whoever may write its target can change under us."""
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def anothers(path: Path) -> None:
    os.chown(path, 65534, -1)


OPENINGS = {
    "0640": readable(0o640), "0644": readable(0o644), "0660": readable(0o660),
    "a link": elsewhere, "another's": anothers,
}  # fmt: skip


@pytest.mark.parametrize("name", ["token", "key", "passphrase"])
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
def test_s22_with_a_secret_that_others_reach_nothing_is_posted(
    plain_database: str, tmp_path: Path, name: str, opening: Callable[[Path], None]
) -> None:
    if opening is anothers and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    files = {"token": tmp_path / "token", "passphrase": tmp_path / "passphrase"}
    for file in files.values():
        file.touch(mode=0o600)
        file.write_text("correct horse battery staple".replace(" ", "-"))
    place = made_in(tmp_path / "key", now=now(), passphrase_file=files["passphrase"]).place
    assert place.key_file is not None
    settings = Settings(database_url=plain_database, clearinghouse_token_file=files["token"])
    keys = KeySettings(
        settlement_key_file=place.key_file, settlement_passphrase_file=files["passphrase"]
    )
    assert clearinghouse_of(settings, keys=keys).signer is not None  # as it is, all is well
    # when one of them is opened to others
    opening(files.get(name, place.key_file))
    # then there is nothing that could post
    with pytest.raises((InsecureSecretError, SettlementKeyError)):
        clearinghouse_of(settings, keys=keys)


# --- S23 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("showing", [*Showing, "TLS 1.1"])
def test_s23_only_to_the_partner_itself_over_a_current_tls_is_anything_sent(
    plain_database: str, tmp_path: Path, showing: Showing | str
) -> None:
    # given a booked posting, and somebody who shows this certificate, or speaks an old TLS
    authority = Authority(tmp_path / "ca")
    old = showing == "TLS 1.1"
    pair = authority.server(Showing.GOOD if old else Showing(showing))
    book(plain_database, made(1, 1), at=now())
    with ClearingHouse(token=TOKEN, misbehaviour=WELL_BEHAVED, tls=pair, tls11_only=old) as house:
        # when it is posted to
        post_pending(
            plain_database,
            Clearinghouse(house.url, TOKEN, ca_file=authority.certificate),
            clock=now,
            random=Random(1),
            limit=1,
        )
        heard = house.calls()
    # then nothing is heard but by the partner, and the posting waits on disk
    good = showing is Showing.GOOD
    assert heard == (1 if good else 0)
    assert states(plain_database) == {"acknowledged" if good else "queued": 1}
