"""5 ACT: one step each, plain functions; ``prefect_tasks`` wraps them for Prefect.

Where do I go to…
    …see what a step reads from the environment?                tasks.settings
    …read events and prices from the grid's feeds?              tasks.grid
    …judge landed packets?                                      tasks.judge
    …look into quarantine, and judge it again?                  tasks.quarantine
    …run the quality gate on a period?                          tasks.quality
    …settle a period?                                           tasks.settle
    …see what that computes before it books?                    tasks.computing
    …see its totals, its digests, and what it sends?            tasks.settle_summary, .digests, .postings
    …have some of it settled a second time, by the oracle?      tasks.second_opinion
    …replay a past run bit for bit?                             tasks.verify_run
    …see when a day is settled again, and do it?                tasks.calendar, tasks.true_up
    …close, seal and verify the ledger?                         tasks.ledger, tasks.seal_file
    …gather a statement with all its evidence?                  tasks.statement
    …see what other terms would have paid?                      tasks.what_if
    …send postings to the clearinghouse?                        tasks.posting.run
    …make certificates, keep them, see which still serve?       tasks.certificates and two beside it
    …see timeouts and retries, and how a step looks to Prefect? tasks.prefect_tasks
    …see what stands on a run's page?                           tasks.pages
    …see whether a machine is fit to settle?                    tasks.doctor

A step takes its database, clock and clients as arguments, so the command line, the flows and the
tests run the same code. What a step must do exactly once is guaranteed by the database; Prefect only
decides when a step runs and whether it is tried again.
"""
