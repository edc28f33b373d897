"""1 HEAR     what the grid's side says: IEEE 2030.5, OpenADR, price files; decodes, decides nothing.

Where do I go to…
    …see what is made of all that is said?             grid.records
    …see which feeds there are, and how they are set?  grid.config, grid.config_file
    …add a kind of feed?                               grid.feeds
    …see the rules of a stated price, and of a time?   grid.prices, grid.times
    …see plain JSON and files?                         grid.json_feed, grid.file_feed
    …see IEEE 2030.5, documents first, then talking?   grid.sep2

Nothing here knows a database or a clock: time, randomness and the connection are arguments.
"""
