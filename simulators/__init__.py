"""The world outside, over its real protocols: fleet, utility, clearinghouse.

Where do I go to…
    …have a whole evening: deliveries, roster, truth?           simulators.evening
    …see what each charger does, and what its meter sees?       simulators.plans, .driving
    …see how a packet is spoilt, and what must come of it?      simulators.mischief, .labels
    …see how warm the batteries get?                            simulators.heat
    …see the events and prices, and what happens to them?       simulators.grid
    …see what must be paid, and what not?                       simulators.truth, .terms, .netting
    …see what that is in money?                                 simulators.tariff
    …enrol the fleet's keys and contracts?                      simulators.roster
    …publish the evening over MQTT?                             simulators.fleet
    …serve event windows and prices?                            simulators.utility
    …serve them over IEEE 2030.5, with mutual TLS?              simulators.sep2
    …have a battery that heats up, behind a PLC with faults?    simulators.plc
    …take postings, badly if wanted?                            simulators.clearinghouse

A simulator speaks the real protocol on a real socket and misbehaves on request. Everything random
comes from a seed and the time is a parameter, so that a run can be had again. What it injected, and
what must come of it, it alone knows; none of that crosses the socket.
"""
