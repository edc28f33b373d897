"""How the database came to be: one file per step, its DDL written by hand, each with its way back.

The steps never import the program's present (``storage.tables``, ``settlement``): what a step does
must not change when the program does. A test compares the database after the last step with
``storage.tables``.
"""
