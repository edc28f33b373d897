"""5 GUARD    a battery outside its limits is throttled to 0 kW, and released when it has cooled.

Where do I go to…

    see how it is put together, started and stopped    guard, and holding for the lock
    see which EVSE must be limited now, and why        watch, and settlement.throttling
    see what is sent again, when, and until when       delivery; what is sent and heard: sending
    change what goes over the broker                   mqtt
    change what is written into a PLC's register       registers
    set something                                      settings

What was commanded and what became of it stands in the database (storage.throttling), before it is
sent: nothing is remembered here that a restart may not forget.
"""
