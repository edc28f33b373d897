"""Battery temperatures over Modbus TCP: one poller for many devices, raw registers and value landed.

Where do I go to…
    …see what can be configured of a device?                   ingest_daemon.modbus.configuration
    …see which temperatures SunSpec models have, and where?    ingest_daemon.modbus.definitions
    …see how a device is discovered?                           ingest_daemon.modbus.sunspec
    …see which registers are read together?                    ingest_daemon.modbus.plan
    …see why a late or spoilt answer cannot become a value?    ingest_daemon.modbus.wire
    …see how registers become a temperature?                   ingest_daemon.modbus.decoding
    …see when a temperature is believed?                       settlement.sensors
    …see one poll from end to end?                             ingest_daemon.modbus.poll, .answers
    …see when each device is asked, and again after trouble?   ingest_daemon.modbus.rounds
    …see what happens while the database is away?              ingest_daemon.modbus.outbox, .landing
    …see how it starts, drains and stops?                      ingest_daemon.modbus.service

A device gives a temperature only if everything about its answer is as asked. Anything else is a
sample without a value, which says what was found.
"""
