"""Is this machine fit to settle? Looks at clock, host, files, database, broker and Prefect; changes nothing.

    finding    what one check says: state, what was found, what was expected, the repair
    examine    runs checks side by side, each within a bound
    host       clock, kernel, swappiness, room on disks
    database   reachable, settings, extension, migrations, rights
    broker     TLS with the daemon's certificate, and its limits as configured
    files      certificates, private keys and secrets that settings name
    scheduler  Prefect's server: reachable, logged in, a worker, deployments
    place      what is looked at: a root of files, variables, a clock, and the checks over it

Everything that is looked at is an argument (``place.Place``), so that tests give a folder of their own.
Nothing here shows a secret: of a file's content only whether it is kept well is told, and a database's
address is not quoted.
"""
