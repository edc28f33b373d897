"""The demonstration: an evening of the fleet, settled for real, on embedded parts.

run      the story, step by step, and its exit status
world    the parts: started in order, stopped in reverse, whatever happens
fetch    what the machine lacks, fetched while the fleet drives
utility  its IEEE 2030.5 server, and the file of the feeds that names it
steps    one line per step, with a bar where it is long
enrol    keys, sites, contracts, programs and temperatures
flows    Prefect's flows, in a process of their own; flow_names says what they are called
throttle a battery that is too hot, live: Modbus in, 0 W out, acknowledged
charger  a charger with the real agent: its configuration and its key
checks   what must be true at the end, from what the simulators know
troubles what each trouble of the evening cost, and the table
statement  the page for one vehicle's owner
folder   where all data of a demonstration is kept
tables   the tables at the end
keep     what is left up with --keep, and what to try there
"""
