"""1 LAND: bytes in, rows out; judges nothing.

Where do I go to…
    …see every setting, its unit and its default?              ingest_daemon.settings
    …see how packets come from the broker, and when they are
     acknowledged?                                             ingest_daemon.mqtt
    …see what the client library does and what we add to it?   ingest_daemon.mqtt_client
    …see what devices are told of their packets?               ingest_daemon.receipts
    …see how missing packets are noticed?                      ingest_daemon.gaps
    …see the HTTP intake and its answers?                      ingest_daemon.http
    …see how much may wait in memory?                          ingest_daemon.buffer
    …see what happens while the database is away?              ingest_daemon.landing
    …see why a certificate or a key will not do?               ingest_daemon.certificates
    …see how it starts, drains and stops?                      ingest_daemon.daemon
    …see how batteries' temperatures come in, and from where?  ingest_daemon.modbus
    …see what is measured?                                     ingest_daemon.metrics

The way of a packet, and the one promise:

    broker ──► mqtt ──┐
                      ├─► buffer (bounded) ─► landing thread ─► COMMIT ─► acknowledged
    HTTP ────► http ──┘

No packet is acknowledged before the transaction that stores it has committed, and landing the same
packet twice stores it once. So whatever is killed at whatever moment, whoever sent the packet
still has it and sends it again, and it stands in the database exactly once.
"""
