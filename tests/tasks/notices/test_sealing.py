"""What is sealed opens in its own place only, under its own key only, and never shows."""

from uuid import uuid4

import pytest

from tasks.notices.errors import SealError
from tasks.notices.sealing import SECRET, TOKEN, Sealer, read_sealer

KEY = bytes(range(32))
HERE = uuid4()


def test_what_is_sealed_opens_again_and_looks_different_each_time():
    sealer = Sealer(KEY)
    first, second = (sealer.seal("canary", HERE, TOKEN) for _ in range(2))

    assert first != second
    assert b"canary" not in first
    assert sealer.open(first, HERE, TOKEN) == sealer.open(second, HERE, TOKEN) == "canary"
    assert "00010203" not in repr(sealer)


def test_s17_a_sealed_token_is_of_no_use_elsewhere_changed_or_under_another_key():
    sealer = Sealer(KEY)
    sealed = sealer.seal("canary", HERE, TOKEN)
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])

    for other, text, where, what in (
        (sealer, sealed, uuid4(), TOKEN), (sealer, sealed, HERE, SECRET), (sealer, changed, HERE, TOKEN),
        (Sealer(KEY[::-1]), sealed, HERE, TOKEN), (sealer, b"\x02" + sealed[1:], HERE, TOKEN),
        (sealer, b"", HERE, TOKEN), (sealer, sealed[:9], HERE, TOKEN),
    ):  # fmt: skip
        with pytest.raises(SealError) as caught:
            other.open(text, where, what)
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode"), [("5e" * 32, 0o644), ("5e" * 31, 0o600), ("zz" * 32, 0o600), ("", 0o600)]
)
def test_a_key_file_that_others_can_read_or_without_a_key_is_not_used(tmp_path, content, mode):
    file = tmp_path / "seal.key"
    file.write_text(content)
    file.chmod(mode)

    with pytest.raises(SealError) as caught:
        read_sealer(file)

    assert "5e5e" not in str(caught.value)
