"""IEEE 2030.5 (Smart Energy Profile 2), 2018 and 2023 editions, with CSIP-Aus: an aggregator's client.

Where do I go to…
    …see how bytes become elements, safely?       documents; errors; fields, one item's
    …see what each document says?                 controls and setpoints; programs; tariffs; tm
    …see who a device is?                         identity
    …see what documents say together?             price, stored, stored_prices; modelling, validation
    …see how a server is talked to?               tls, connection, bounds, client, paging, discovery, clock
    …see what is made of what it said?            feed; events, prices, responses

The first half knows no connection, and the second no XML.
"""
