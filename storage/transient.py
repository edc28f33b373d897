"""Which trouble with the database passes by itself, so that the same work may be tried again."""

import psycopg
from psycopg import errors

from storage.books import ConcurrentRunError
from storage.errors import DatabaseUnavailableError


def is_transient(error: BaseException) -> bool:
    """Whether trying the same work again may succeed, with nothing repaired in between.

    True for lost and refused connections, serialization failures, deadlocks, lock timeouts and
    servers that stop or lack resources (classes 08, 40, 53, 55 and 57 of PostgreSQL's Appendix A);
    false for a statement that ran into its time limit, which will do so again.

    >>> is_transient(errors.SerializationFailure()), is_transient(errors.QueryCanceled())
    (True, False)
    >>> is_transient(errors.CheckViolation()), is_transient(ValueError())
    (False, False)
    """
    if isinstance(error, errors.QueryCanceled):
        return False
    return isinstance(
        error, DatabaseUnavailableError | ConcurrentRunError | psycopg.OperationalError
    )
