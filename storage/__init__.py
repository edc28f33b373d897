"""2 KEEP: the only SQL: append-only facts in PostgreSQL or TimescaleDB.

Where do I go to…
    …connect, as which role, and with which guarantees?        storage.engine
    …create the database, or bring it up to date?              storage.migrate
    …see the DDL, the privileges and the triggers?             storage.migrations
    …see every table and column?                               storage.tables
    …see how the time series are cut into weeks?               storage.partitions
    …store packets, each exactly once?                         storage.landing
    …see the statements of a landing?                          storage.landing_steps
    …see which packets are set aside, and why?                 storage.arrivals
    …see what of a signed sequence is missing?                 storage.streams
    …land what batteries' sensors say, attach it to vehicles?  storage.sample_store, .attaching
    …record what judging found, each identity once?            storage.judging, storage.identities
    …keep meters' records and join them?                       storage.meter_records
    …look into quarantine, and judge it again?                 storage.quarantine, storage.retries
    …book a run, and see what is booked?                       storage.books, storage.runs
    …see which runs of the calendar are done?                  storage.calendar
    …see balances, seal what was booked, and verify it?        storage.ledger, storage.audit
    …see totals, and what single troubles came to?             storage.reports, .troubles
    …find what a statement is made of?                         storage.evidence, storage.signed, .stated
    …read a token or password from a file?                     storage.secrets
    …see whether settings and rights are as they should be?    storage.examination
    …see what can go wrong?                                    storage.errors

A fact is inserted once and never changed: no role may update, delete from or truncate a table of
facts, and triggers refuse it to their owner as well. Every role holds only the rights its work needs.
"""
