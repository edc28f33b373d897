"""4 DECIDE: the rules of settlement, frame in, frame out.

Where do I go to…
    …see the columns of every frame, their units and limits?   settlement.schemas
    …see every reason why a packet or a kWh is not paid?       settlement.reasons
    …decode a packet?                                          settlement.packets
    …see how a packet is judged?                               settlement.verdicts
    …see how a meter's records become intervals?               settlement.meter_readings
    …read or change a tariff's rules?                          settlement.programs
    …see when an event really counts for a device?             settlement.windows
    …see which event and price are in force when?              settlement.timeline
    …see how meters are checked, reading by reading?           settlement.metering
    …see which energy is paid for, and why the rest is not?    settlement.matching
    …find the battery's factor, or a baseline?                 settlement.thermal, settlement.baselines
    …follow the money of one line?                             settlement.pricing
    …see what is booked, and under which id?                   settlement.booking
    …see how what is booked is sealed?                         settlement.seals, settlement.merkle
    …run all of it?                                            settlement.engine
    …see what is sent to the clearinghouse, and what its
     answers mean?                                             settlement.posting
    …see where a connection without TLS may go?                settlement.hosts

Nothing here reads a clock, a socket, a file or a database: now, keys, prices and frames are
arguments. Discharge (export to the grid) is positive everywhere.
"""
