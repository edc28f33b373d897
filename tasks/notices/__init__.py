"""Telling partners what became of payouts, by signed notices to one configured place.

    settings    files and bounds, from the environment
    errors      what can be wrong, as one tree
    urls        which texts are a destination, strictly
    allowed     hosts that may be one: a file that only its owner changes
    addresses   what a host's name gives, once, and which of it may be called
    sealing     the destination's token and secret, encrypted for the database
    call        one signed call to a pinned address, under one deadline
    configure   a new destination: takes effect after a test call to it succeeded
    deliver     what is due goes out, at least once

What is told, and where it stands: storage.notices, storage.destinations.
"""
