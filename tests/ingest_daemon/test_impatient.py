"""A connection that asks for nothing is closed, so that it cannot keep others out."""

import socket
import threading

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from embedded.processes import wait_until
from ingest_daemon import impatient

CONNECTIONS = 3
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setattr(impatient, "REQUEST_WITHIN_S", 0.2)
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    server = uvicorn.Server(
        uvicorn.Config(app, http=impatient.Impatient, lifespan="off", log_config=None,
                       limit_concurrency=CONNECTIONS)
    )  # fmt: skip
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    wait_until(lambda: server.started, deadline_s=10, what="the server")
    yield listener.getsockname()
    server.should_exit = True
    serving.join(10)


def ask(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    connection.sendall(ASK)
    answer = b""
    while not answer.endswith((b"here", b"Unavailable")):
        answer += (chunk := connection.recv(4096))
        assert chunk, answer
    return answer


@pytest.mark.parametrize("said", [b"", ASK[:-2]], ids=["nothing", "half a head"])
def test_who_says_nothing_keeps_nobody_out(address, said):
    silent = [socket.create_connection(address) for _ in range(CONNECTIONS)]
    for one in silent:
        one.settimeout(10)
        one.sendall(said)
    with socket.create_connection(address) as refused:
        assert b" 503 " in ask(refused)

    assert [one.recv(1) for one in silent] == [b""] * CONNECTIONS

    with socket.create_connection(address) as served:
        assert b" 200 " in ask(served)
    for one in silent:
        one.close()


def test_who_asks_again_and_again_stays(address):
    pause = threading.Event()
    with socket.create_connection(address) as connection:
        for _ in range(8):
            assert b" 200 " in ask(connection)
            pause.wait(0.1)
