"""The demonstration: an evening of the fleet, settled for real, on embedded parts.

run      the story, step by step, and its exit status
world    the parts: started in order, stopped in reverse, whatever happens
steps    one line per step, with a bar where it is long
checks   what must be true at the end, from what the simulators know
tables   the tables at the end
keep     what is left up with --keep, and what to try there
"""
