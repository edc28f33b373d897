"""A PLC beside a battery, over real Modbus TCP: SunSpec models, plain registers, and faults by script.

Where do I go to…
    …start one, change what it measures, see what was written?  simulators.plc.server
    …say which models and registers it has?                     simulators.plc.memory
    …make it answer wrongly, late, or not at all?               simulators.plc.faults
    …see the frames, right and spoilt?                          simulators.plc.frames
    …run one by hand?                                           python -m simulators.plc --help

The frames are made here and not by pymodbus, which the poller reads with: one mistake cannot hide on
both sides. Layouts come from pysunspec2's own encoder.
"""
