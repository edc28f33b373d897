"""Measured, never timed in a test: each figure as a ratio to its limit, taken in the same run.

    signatures   packets' signatures checked per second, against `openssl speed`
    landing      from the broker to committed rows, against COPY of the same rows
    pricing      readings matched and priced per second, against one plain pass over the same frame
    backfill     days settled one after the other: memory, against a limit and against the day before
    rerun        a run that changes nothing, against reading the same rows
    modbus       500 devices polled each 5 s, every answer landed: the share of one core

`make bench` runs all; `python -m benchmarks signatures` one.
"""
