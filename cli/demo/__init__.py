"""The demonstration: an evening of the fleet, settled for real, on embedded parts.

run      the story, step by step, and its exit status
world    the parts: started in order, stopped in reverse, whatever happens
steps    one line per step, with a bar where it is long
enrol    keys, sites, contracts, programs and temperatures
flows    Prefect's flows, in a process of their own; flow_names says what they are called
checks   what must be true at the end, from what the simulators know
statement  the page for one vehicle's owner
folder   where all data of a demonstration is kept
tables   the tables at the end
keep     what is left up with --keep, and what to try there
"""
