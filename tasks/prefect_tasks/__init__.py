"""Each step as Prefect sees it: a plain function of ``tasks``, given what the process has.

Where do I go to…
    …see what every step has: name, time limit, retries?    step
    …see judging, the gate, settling, the calendars?        settling
    …see what goes onto a run's page?                       publishing
    …tell Prefect of what matters for money?                announcing, telling
    …see screening, approvals, posting, notices?            paying
    …see the grid's feeds and the keys' ends?               watching

The steps themselves are plain functions and know nothing of this. Here, and only here, they meet
the process: its settings, its clock, its randomness. Nothing is cached and no result is persisted:
what a step did stands in the database, and every step may run twice.
"""
