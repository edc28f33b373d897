"""From an ISO 15118-20 session to meter samples: a process of its own, beside the agent.

The package that speaks the protocol (`iso15118`) pins libraries years older than ours, so this folder
has its own environment (`requirements.lock`, `install.sh`). Nothing of the project imports it, and it
imports nothing of the project: it talks to the agent over a Unix socket, one JSON object per line.

    wire.py        names and numbers as they travel; what the library gets wrong about them
    samples.py     what the agent is given, and why it is given nothing
    reader.py      messages in, samples out: the same for a live session and a recording
    meter.py       a simulated meter behind a simulated power stage
    bridge.py      what a charger does with a session: power, meter, lines for the agent
    replay.py      `python -m iso15118_bridge.replay FILE`: a recording as samples
    codec.py       the wrapper around the EXI codec: sees, repairs, verifies, records
    controller.py  the charger as the library asks for it: limits, meter, direction
    secure.py      no connection that is not TLS 1.3, no fallback
    agent_link.py  the way to the agent, and its limits back
    secc.py        `python -m iso15118_bridge.secc`: the charger's side of the plug
    car.py, giver.py  `python -m iso15118_bridge.car`: the package's own car, willing to give
    session.py     `python -m iso15118_bridge.session`: both, over a link of their own
    certificates.py  certificates for a test, made by the package's own script

wire, samples, reader, meter, bridge, codec, agent_link and replay need nothing but Python.
"""
