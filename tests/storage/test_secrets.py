import os
import socket

import pytest

from storage.errors import InsecureSecretError
from storage.secrets import SECRET_MAX_BYTES, read_secret


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_secret_that_only_its_user_can_read_is_read_without_its_line_end(token, mode):
    token.chmod(mode)

    assert read_secret(token) == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666])
def test_a_secret_that_others_reach_is_refused_with_the_repair(token, mode):
    token.chmod(mode)

    with pytest.raises(InsecureSecretError, match=rf"mode 0{mode:o}.*chmod 600") as caught:
        read_secret(token)

    assert "s3cret" not in str(caught.value)


def test_another_owners_secret_is_refused(token):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(token, 65534, 65534)

    with pytest.raises(InsecureSecretError, match=r"owned by uid 65534.*chown"):
        read_secret(token)


def test_a_symbolic_link_is_not_followed(token, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(token)

    with pytest.raises(InsecureSecretError, match="symbolic link"):
        read_secret(link)


def test_a_missing_file_is_said_with_how_to_make_it(tmp_path):
    with pytest.raises(InsecureSecretError, match="install -m 600"):
        read_secret(tmp_path / "none")


def test_a_folder_is_no_secret(tmp_path):
    with pytest.raises(InsecureSecretError, match="not a regular file"):
        read_secret(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(InsecureSecretError, match="not a regular file"):
        read_secret(tmp_path / "pipe")


def test_a_socket_is_no_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")

        with pytest.raises(InsecureSecretError):
            read_secret(tmp_path / "socket")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b" \n\t\n", "empty", id="white space"),
        pytest.param(b"x" * (SECRET_MAX_BYTES + 1), "more than 4096 bytes", id="too long"),
        pytest.param(b"first\nsecond", "one line", id="two lines"),
        pytest.param(b"a\0b", "one line", id="a NUL"),
        pytest.param("pässword".encode(), "printable ASCII", id="beyond ASCII"),
    ],
)
def test_a_file_that_holds_no_usable_secret_is_refused(token, content, problem):
    token.write_bytes(content)

    with pytest.raises(InsecureSecretError, match=problem):
        read_secret(token)


def test_the_longest_secret_is_read(token):
    token.write_bytes(b"x" * SECRET_MAX_BYTES)

    assert len(read_secret(token)) == SECRET_MAX_BYTES
