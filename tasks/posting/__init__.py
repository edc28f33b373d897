"""Paying out: what is booked goes to the clearinghouse, each posting exactly once in effect.

    instructions   what a booked settlement sends, per account and kind of movement
    run            the step: its bounds
    draining       claim, send, judge, record, until nothing is due
    queue          the outbox and the lane, without waiting for the disk
    progress       what a run has done, and what it leaves
    clearinghouse  a partner, and the client that reaches it
    lines          as many connections as calls may be out
    call           one attempt: one deadline for each call, a bounded body, nothing followed
    lane           how many calls may be out, and when none may

Rules of what an answer means and which state may follow which: settlement.posting. What is on disk:
storage.outbox.
"""
