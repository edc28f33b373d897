"""Statements of partners and banks: read, compared with our postings, disputed, and files of payouts.

rows          what every way of reading a file gives: lines, and rows that cannot be read
csv_files     a partner's statement as CSV
bank_files    a bank's notification (camt.054)
payees        the file of payees' bank data
importing     read a file, store it, compare its period
comparing     compare a period; take the partner's word for what we were not sure of
disputes      open, answer and end disputes; book what they come to
evidence      the pack that a dispute goes out with
paying        write, hand over and cancel files of payouts
export        differences as a table that a spreadsheet opens safely
"""
