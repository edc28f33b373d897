"""Tests of what banks say and are told."""
