"""3 DOUBT: is this period plausible enough to pay on?

Where do I go to…
    …see or change a check and its limits?          expectations.readings
    …see how checks run and how a verdict is made?  expectations.gate

The rules refuse single packets; what stands here looks at a whole period, by SQL, and doubts it:
too many packets refused, too many meters that disagree with themselves. A critical doubt holds the
period until somebody has looked; nothing is corrected or dropped here.

Great Expectations costs five seconds of CPU to import, so it is imported when a check runs.
"""
