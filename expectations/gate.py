"""Runs the suite on a period inside the database, and makes one verdict of it.

    ExpectationsError
    └── GateBrokenError    a check could not run: a broken query or server, not doubtful data

The verdict is the severity of the worst check that failed. It is not Great Expectations' own
``success``, which is false for a failed hint as much as for a failed critical check.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from expectations import readings

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.datasource.fluent import PostgresDatasource
    from great_expectations.expectations import Expectation


class ExpectationsError(Exception):
    """Root of this package's exceptions."""


class GateBrokenError(ExpectationsError):
    """A check could not run, so nothing is known about the period.

    Attributes:
        check: the check, or what was being prepared.
        cause: what the library or the database said.
    """

    def __init__(self, check: str, cause: str) -> None:
        super().__init__(
            f"the check {check!r} could not run: {cause}; the period is neither accepted nor held,"
            " run it again once this is repaired"
        )
        self.check = check
        self.cause = cause


class Severity(StrEnum):
    """The worst that failed, mildest first. CRITICAL holds the period."""

    NONE = "none"
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of the suite on one period.

    Attributes:
        check: what is expected, in words.
        column: the column it looks at; empty for the whole table.
        severity: what its failure means.
        passed: whether it held.
        limit: what was permitted.
        observed: what was found.
        unexpected: rows that do not meet it; 0 where it judges the whole.
        rows: rows it looked at; 0 where it judges the whole.
    """

    check: str
    column: str
    severity: Severity
    passed: bool
    limit: str
    observed: str
    unexpected: int
    rows: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one period, and the worst severity that failed."""

    worst: Severity
    checks: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that did not hold, worst first."""
        bad = [check for check in self.checks if not check.passed]
        return tuple(sorted(bad, key=lambda check: -_ORDER.index(check.severity)))


_ORDER: Final = list(Severity)

_RESULT_FORMAT: Final = {"result_format": "BASIC", "partial_unexpected_count": 0}
"""Counts without example rows: the library caps its examples, so they would only look complete."""


def doubt(
    connection_url: str, *, readings_query: str, packets_query: str, period_ended_at: datetime
) -> Verdict:
    """Run the suite on one period, inside the database.

    Args:
        connection_url: SQLAlchemy URL of a role that may read.
        readings_query: the period's readings with their facts (``storage.quality``).
        packets_query: the period's judged packets (``storage.quality``).
        period_ended_at: end of the half-open period, timezone-aware.

    Raises:
        GateBrokenError: the database cannot be reached, or a check could not be computed.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    try:
        source = context.data_sources.add_postgres("database", connection_string=connection_url)
    except Exception as error:  # the library wraps whatever happened in an error of its own
        raise GateBrokenError("connection", _one_line(error)) from error
    try:
        verdicts = [
            _run(context, source, "readings", readings_query, readings.readings(period_ended_at)),
            _run(context, source, "packets", packets_query, readings.packets()),
        ]
    finally:
        # Both engines that the library opened; it would keep their connections until collected.
        source.get_engine().dispose()
        source.get_execution_engine().close()
    return Verdict(
        worst=max((verdict.worst for verdict in verdicts), key=_ORDER.index),
        checks=tuple(check for verdict in verdicts for check in verdict.checks),
    )


def _run(
    context: "EphemeralDataContext",
    source: "PostgresDatasource",
    name: str,
    query: str,
    expectations: "Iterable[Expectation]",
) -> Verdict:
    import great_expectations as gx

    try:
        batch = source.add_query_asset(name, query=query).add_batch_definition_whole_table(name)
        suite = context.suites.add(gx.ExpectationSuite(name, expectations=list(expectations)))
        definition = gx.ValidationDefinition(name=name, data=batch, suite=suite)
        validation = context.validation_definitions.add(definition).run(
            result_format=_RESULT_FORMAT
        )
    except Exception as error:
        raise GateBrokenError(name, _one_line(error)) from error
    checks = tuple(_check(result) for result in validation.results)
    worst = validation.get_max_severity_failure()
    return Verdict(Severity(worst.value) if worst else Severity.NONE, checks)


def _check(result: "ExpectationValidationResult") -> CheckResult:
    config = result.expectation_config
    if config is None:
        raise GateBrokenError("unnamed", "the library returned a result without its expectation")
    meta: dict[str, str] = dict(config.meta)
    if cause := _exception(result.exception_info):
        # The library counts a query that failed as data that failed.
        raise GateBrokenError(meta["check"], cause)
    numbers: dict[str, Any] = result.result
    unexpected, rows = (int(numbers.get(key) or 0) for key in ("unexpected_count", "element_count"))
    found = numbers.get("observed_value")
    return CheckResult(
        check=meta["check"],
        column=str(config.kwargs.get("column", "")),
        severity=Severity(config.severity),
        passed=bool(result.success),
        limit=_limit(config.kwargs, meta["unit"]),
        observed=f"{unexpected} of {rows} rows" if found is None else str(found),
        unexpected=unexpected,
        rows=rows,
    )


def _limit(kwargs: Mapping[str, Any], unit: str) -> str:
    """What an expectation permits, in words, from its own arguments."""
    words = []
    if "column_list" in kwargs:
        words.append(f"no two rows with the same {', '.join(kwargs['column_list'])}")
    if "value_set" in kwargs:
        words.append(f"one of {', '.join(str(value) for value in kwargs['value_set'])}")
    words += [
        f"{word} {_quantity(kwargs[key], unit)}"
        for key, word in (("min_value", "at least"), ("max_value", "at most"))
        if kwargs.get(key) is not None
    ]
    if (share := kwargs.get("mostly", 1)) != 1:
        words.append(f"in at least {share:.0%} of the rows")
    return ", ".join(words) or "present"


def _quantity(value: object, unit: str) -> str:
    # The library turns whole limits into floats; all of ours are below 2^53 and stay exact.
    digits = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    times = "× " if unit[:1].isdigit() else ""
    return f"{digits} {times}{unit}".rstrip()


def _exception(info: Mapping[str, Any] | None) -> str:
    """The message of the first exception in a result; empty where the check ran."""
    # Flat for one exception, keyed by metric where several metrics failed.
    for one in (info or {}, *(value for value in (info or {}).values() if isinstance(value, dict))):
        if one.get("raised_exception"):
            return _one_line(one.get("exception_message"))
    return ""


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:500]
