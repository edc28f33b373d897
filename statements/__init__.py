"""Statements: a settlement explained to the person whom it concerns, and proven to whoever doubts it.

content    what a statement is made from
page       one HTML page: settlements, lines as products, what was not paid and why
chart      power, price, temperature and paid intervals, as SVG
words      reasons in plain words
numerals   integers and times as they are read
style      how the page looks, on a screen and on paper

pack       an evidence pack: what was booked, and everything that it was computed from
packing    a pack as a file, and back (``packing_books``, ``packing_runs``, ``packing_evidence``)
texts      values as the text that a pack holds
verify     whether a pack stands (``recompute``, ``compare``, ``money``, ``sealed``)
shown      a pack as a statement for the page
table      a pack as comma-separated values
espi       a pack as Green Button XML (``currencies``)
"""

from statements.content import Statement
from statements.page import render
from statements.words import REASONS

__all__ = ["REASONS", "Statement", "render"]
