"""The file of tokens: only its owner's, never half written, and of no use to who steals it."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from api import tokens
from api.errors import TokenFileError

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens.json"


def make(file, name="anna", *scopes, **more):
    return tokens.make(file, name, scopes or (tokens.READ,), now=NOW, **more)


def test_a_token_is_found_by_itself_only(file):
    made, secret = make(file)
    make(file, "bert", tokens.WRITE)
    known = tokens.load(file)

    assert tokens.find(known, secret) == made
    assert made.expires_at == NOW + tokens.VALID_FOR
    for other in ("", secret[:-1], secret + "x", made.sha256, "ü\ud800"):
        assert tokens.find(known, other) is None
    assert secret not in file.read_text()


def test_many_at_once_are_all_kept(file):
    with ThreadPoolExecutor(8) as pool:
        secrets = list(pool.map(lambda n: make(file, f"operator-{n}")[1], range(24)))

    known = tokens.load(file)
    assert len(known) == len({tokens.find(known, secret) for secret in secrets}) == 24
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700 | 0o010])
def test_a_file_that_others_can_open_is_not_used(file, mode):
    make(file)
    file.chmod(mode)

    with pytest.raises(TokenFileError, match="chmod 600"):
        tokens.load(file)


def test_a_link_a_folder_and_nothing_are_not_used(file, tmp_path):
    make(file)
    link = tmp_path / "link.json"
    link.symlink_to(file)
    for path in (link, tmp_path, tmp_path / "none.json"):
        with pytest.raises(TokenFileError):
            tokens.load(path)
        with pytest.raises(TokenFileError):
            tokens.TokenFile(path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"{}", b'{"version": 2, "tokens": []}', b'{"version": 1, "tokens": [1]}', b"\xff",
        b'{"version": 1, "tokens": [{"name": "a", "sha256": "00", "scopes": [], "expires_at": "2030-01-01T00:00:00Z"}]}',
    ],
)  # fmt: skip
def test_what_the_command_did_not_write_lets_nobody_in(file, content):
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(TokenFileError, match="not what `v2g keys token` writes"):
        tokens.load(file)


def test_a_scope_that_is_none_and_a_time_without_zone_spoil_the_file(file):
    make(file)
    document = json.loads(file.read_text())
    for name, value in (
        ("scopes", ["keys:all"]),
        ("expires_at", "2030-01-01T00:00:00"),
        ("name", ""),
    ):
        spoilt = {"version": 1, "tokens": [document["tokens"][0] | {name: value}]}
        file.write_text(json.dumps(spoilt))
        with pytest.raises(TokenFileError):
            tokens.load(file)


def test_what_cannot_be_is_not_made(file):
    make(file)
    for name, scopes, valid_for in (
        ("ANNA", [tokens.READ], tokens.VALID_FOR), ("", [tokens.READ], tokens.VALID_FOR),
        ("bert", [], tokens.VALID_FOR), ("bert", ["*"], tokens.VALID_FOR),
        ("bert", [tokens.READ], timedelta(0)), ("bert", [tokens.READ], timedelta(days=367)),
    ):  # fmt: skip
        with pytest.raises(TokenFileError):
            tokens.make(file, name, scopes, now=NOW, valid_for=valid_for)
    with pytest.raises(TokenFileError):
        tokens.remove(file, "bert")
    assert [one.name for one in tokens.load(file)] == ["anna"]


def test_an_administrators_token_lasts_a_day(file):
    made, _ = make(file, "anna", tokens.WEBHOOK_WRITE, tokens.READ)

    assert made.expires_at == NOW + timedelta(hours=24)
    for scope in sorted(tokens.SHORT):
        with pytest.raises(TokenFileError, match=r"at most 1 day.* for webhook"):
            make(file, "bert", scope, valid_for=timedelta(hours=25))


def test_a_changed_file_is_noticed_and_a_spoilt_one_lets_nobody_in(file):
    _, first = make(file)
    current = tokens.TokenFile(file)
    _, second = make(file, "bert")

    assert tokens.find(current.current(), second) is not None
    tokens.remove(file, "anna")
    assert tokens.find(current.current(), first) is None
    file.chmod(0o644)
    with pytest.raises(TokenFileError):
        current.current()
    os.unlink(file)  # noqa: PTH108 - as another program would
    with pytest.raises(TokenFileError):
        current.current()
