"""The guard's connection to a broker that does what none should."""

import random
import socket
import threading

from embedded.processes import wait_until
from thermal_guard.mqtt import Link
from thermal_guard.settings import Settings


def test_a_message_that_nobody_can_read_does_not_make_the_guard_deaf():
    connections: list[socket.socket] = []
    said: list[str] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            connection.recv(4096)
            # CONNACK, and a PUBLISH whose topic is no UTF-8: the library lets it through.
            connection.sendall(bytes([0x20, 3, 0, 0, 0, 0x30, 5, 0, 2, 0xFF, 0xFF, 0]))

    def three_times() -> bool:
        link.start()  # as the guard does at every step
        return len(connections) >= 3

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        link = Link(
            Settings(V2G_DATABASE_URL="none", V2G_MQTT_PORT=port, V2G_MQTT_HOST="127.0.0.1"),
            password=None,
            tls=None,
            rng=random.Random(3),
            wake=lambda: None,
            changed=lambda _up, why: said.append(why),
        )
        try:
            wait_until(three_times, deadline_s=30, what="further attempts")
        finally:
            link.stop()

    # then it has tried anew each time, and has said why
    assert not link.connected
    assert said == ["the connection broke off by an error, which the log shows"] * len(said)
