"""Tests of statements, disputes and files of payouts."""
