"""Notices: where they may go, and how they get there."""
