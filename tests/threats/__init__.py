"""Attacks on a running system, one test per way to be paid for nothing.

The numbers S1 to S16 are those of docs/threats.md: each test says which one it tries. Packets come in through the daemon where the way in matters, and are then judged
and settled as ever, in a real database.

    test_packets     S1 replay, S2 malleability, S3 algorithm confusion, S4 canonicalisation
    test_places      S8 positions, S9 state of charge, S14 the same time twice
    test_energy      S10 cycling, S11 own load, S12 baselines, S13 double enrolment, S16 bounds
    test_keys        S5 key substitution, S6 enrolment
    test_topics      S7 topics
    test_collusion   S15 rings
"""
