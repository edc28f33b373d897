"""A settlement case in a folder of plain files: read, and what it comes to written beside it.

errors        the one error, on one line
tables        CSV as frames of text, a piece at a time
fields        text as exact values in their permitted range
programs      program.yaml, programs/*.yaml
terms         contracts, sites, prices, baselines, orders
events        events.csv; der_controls: IEEE 2030.5 documents
evidence      readings.csv, thermal.csv; packets: signed packets and their keys
baselines     what a program computes from the readings
read, write   the whole folder in, the results out
"""

from cases.errors import CaseError
from cases.read import INPUTS, OUTPUTS, PERIOD, Case, Instead, read
from cases.write import OutputExistsError, write

__all__ = [
    "INPUTS",
    "OUTPUTS",
    "PERIOD",
    "Case",
    "CaseError",
    "Instead",
    "OutputExistsError",
    "read",
    "write",
]
