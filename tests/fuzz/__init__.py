"""Fuzzing of every decoder of foreign bytes: they may refuse, and do nothing else.

    python -m tests.fuzz                      every decoder for a minute each
    python -m tests.fuzz ocmf --seconds 3600  one of them for an hour

No crash, no other exception than the decoder's own, no input that takes seconds, no memory that grows.
The corpus lies in corpus/, one folder per decoder; what a run finds that is new is kept in .cache, and
an input that breaks a decoder is printed and belongs into the corpus once the decoder is mended.
"""
