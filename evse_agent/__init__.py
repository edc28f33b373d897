"""0 SIGN     the charger's side: meter and session in, signed packets out, kept until receipted.

Where do I go to…
    …see every key of the configuration file?                  evse_agent.config_keys
    …see what the charge controller says and is told?          evse_agent.intake, samples
    …see how samples become intervals?                         evse_agent.intervals
    …see what is signed, and with what?                        evse_agent.packet, key, hsm
    …see why nothing is lost?                                  evse_agent.store, store_file
    …see what is sent next, and by which way?                  evse_agent.outbox, mqtt, drain, upload
    …see what a receipt and a command do?                      evse_agent.inbox, throttle
    …see what is declared about the clock and the powerline?   evse_agent.clock, plc
    …see how it starts, drains and stops?                      evse_agent.agent

The way of a sample, and the one promise:

    controller ─► intake ─► intervals ─► signed ─► store (COMMIT) ─► "accepted"
                                                     │
                             receipt ◄─ daemon ◄─ MQTT, or HTTP after an outage

A packet is stored before anything else hears of it, under a sequence that is used once, and leaves
the store only when the other side has said, after its own COMMIT, that it holds these very bytes.
"""
