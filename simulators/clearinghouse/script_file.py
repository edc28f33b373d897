"""A clearinghouse's behaviour from YAML or JSON: ``--script FILE``, and ``PUT /v1/script``.

    calls: [ok, "error:number=503:times=3", reset]        # the postings to come, in their order
    postings: {"0198*": [ok, lost_ack]}                   # of each such posting the first call, the second
    status: {"*": ["forgets:times=2"]}                    # of its status queries, likewise
    statement: ["missing:line=2", "fee:by=-50"]           # what the statement says wrongly
    shares: {slow: 0.05, error: 0.1}                      # of the calls that no list speaks of
    status_shares: {forgets: 0.2}

All of it is optional. What a share does not name does not occur.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from simulators.clearinghouse.faults import Fault
from simulators.clearinghouse.misbehaviour import WELL_BEHAVED, Misbehaviour, shares_of
from simulators.clearinghouse.script import Script, require_usable
from simulators.clearinghouse.statement import Lies

FILE_MAX_BYTES: Final = 1024 * 1024


class UnusableScriptError(ValueError):
    """A script that cannot be followed: the place, what was found and expected."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    calls: list[str] = []
    postings: dict[str, list[str]] = {}
    status: dict[str, list[str]] = {}
    statement: list[str] = []
    shares: dict[str, float] = {}
    status_shares: dict[str, float] = {}


@dataclass(frozen=True)
class Behaviour:
    """All that can be said of how a clearinghouse behaves.

    Attributes:
        script: exact lists.
        lies: of the statement.
        shares: of the postings that no list speaks of.
        status_shares: of the status queries that no list speaks of.
    """

    script: Script
    lies: Lies = field(default_factory=Lies)
    shares: Misbehaviour = WELL_BEHAVED
    status_shares: Misbehaviour = WELL_BEHAVED

    def having(
        self, *, shares: Misbehaviour, status_shares: Misbehaviour | None = None
    ) -> "Behaviour":
        """The same with other shares; the lists stay."""
        return replace(
            self,
            shares=shares,
            status_shares=self.status_shares if status_shares is None else status_shares,
        )


def require_shares(shares: Misbehaviour, *, signs: bool, queries: bool) -> None:
    """Raise UnusableFaultError where one of the faults can do nothing, see ``require_usable``."""
    for kind in shares.shares:
        require_usable(Fault(kind), signs=signs, queries=queries)


def read_behaviour(text: bytes, *, signs: bool) -> Behaviour:
    """A behaviour from a file's bytes.

    Args:
        text: YAML, or JSON, which is YAML too.
        signs: whether the clearinghouse signs its answers.

    Raises:
        UnusableScriptError: too long, no YAML, a key that is not known, a value that does not fit.
    """
    if len(text) > FILE_MAX_BYTES:
        raise UnusableScriptError(f"{len(text)} bytes; expected at most {FILE_MAX_BYTES}")
    try:
        form = _Form.model_validate(yaml.safe_load(text) or {})
        behaviour = Behaviour(
            Script(signs=signs),
            shares=shares_of(form.shares),
            status_shares=shares_of(form.status_shares),
        )
        require_shares(behaviour.shares, signs=signs, queries=False)
        require_shares(behaviour.status_shares, signs=signs, queries=True)
        if form.calls:
            behaviour.script.calls(*form.calls)
        for pattern, steps in form.postings.items():
            behaviour.script.posting(pattern, *steps)
        for pattern, steps in form.status.items():
            behaviour.script.status(pattern, *steps)
        behaviour.lies.add(*form.statement)
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}, found {one['input']!r}"
            for one in error.errors()
        )
        raise UnusableScriptError(places) from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UnusableScriptError(str(error) or type(error).__name__) from error
    else:
        return behaviour
