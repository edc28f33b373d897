"""6 CONDUCT: sentences: which step follows which, and how a run ends.

Where do I go to…
    …see how a period comes to be settled?              flows.settle_period
    …see how past days are settled again?               flows.true_up
    …see how what is booked reaches the clearinghouse?  flows.post_pending
    …see how a large payout waits for a person?         flows.approve_payouts
    …see how events and prices come in?                 flows.sync_grid_events
    …see how partners are told of payouts?              flows.deliver_notices
    …see how long the settlement key counts?            flows.watch_certificates
    …see what runs when?                                prefect.yaml
    …put that on a Prefect server, and be sure of it?   flows.deploy, flows.deployed, flows.zombies

A flow calls the steps in ``tasks.prefect_tasks`` and decides nothing that the database does not know. A
scheduled run asks what is due; it never settles "its slot", so late, doubled and missed runs do no
harm.
"""
