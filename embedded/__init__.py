"""Start the servers that a machine lacks: PostgreSQL, an MQTT broker, Prefect.

Where do I go to…
    …start PostgreSQL, with or without TimescaleDB?     embedded.postgres
    …get TimescaleDB where nobody installed it?         embedded.timescale
    …start an MQTT broker?                              embedded.broker
    …start one under a host's own configuration, TLS?   embedded.tls_broker
    …start Prefect's server?                            embedded.prefect_server
    …start any other process that must not be orphaned? embedded.processes

For one machine: a first look, a demonstration, the tests. Nothing here needs root's rights. Every
server listens on loopback or on a private socket only, keeps its data in a folder it is given, and
on Linux ends when the process that started it ends, however that one ends. Nothing here knows what
the servers are used for.

Started by root, PostgreSQL and mosquitto give its rights up before they run. The others may keep
them: Prefect's server always, the broker in Python where it lies in a folder that only root may
enter, and apt and dpkg-deb while they fetch packages.
"""
