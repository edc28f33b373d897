"""The last known state of each vehicle in a Redis (``storage.vehicle_state`` says what that is for).

One hash per vehicle and one sorted set that lists them, all with a time to live, all under one
prefix and in one slot of a cluster. A script compares the signed times and sets, in one step.
Every connection, answer and pipeline is bounded.
"""

import json
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from settlement.hosts import is_loopback
from storage.errors import CacheUnavailableError, UnusableCacheAddressError
from storage.secrets import read_secret
from storage.vehicle_state import VehicleState

PREFIX: Final = "{v2g:vehicle}:"
"""Of every key. What stands in braces decides the slot in a cluster: one for all."""
INDEX: Final = f"{PREFIX}index"

ANSWER_WITHIN_S: Final = 1.0
PIPELINE_MAX: Final = 500
"""States sent before the answers are read."""
CONNECTIONS_MAX: Final = 8

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)

_KEEP: Final = """
local held = redis.call('HGET', KEYS[1], 'measured_us')
if held and tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'measured_us', ARGV[1], 'state', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[4])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', last[2]))
return 1
"""
"""Microseconds since 1970 are below 2^53 until the year 2255: Lua's numbers hold them exactly."""


class RedisStates:
    """States in a Redis.

    Args:
        url: ``rediss://[user@]host[:port][/db]``; ``redis://`` on loopback only, or
            ``unix:///path/to/socket``. A password in it is refused: addresses end up in logs.
        keep: for how long after its signed time a state is shown.
        password_file: holds the password, mode 0600; None: none is sent.
        ca_file: PEM of the authority that signed the server; None: those that the machine trusts.

    Raises:
        UnusableCacheAddressError: the address is none of the above.
        InsecureSecretError: the password's file is open to others.
    """

    def __init__(
        self,
        url: str,
        *,
        keep: timedelta,
        password_file: Path | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._keep = keep
        where = _address(url)
        self.place = f"Redis at {where.pop('said')}"
        if where.get("ssl"):
            where |= {
                "ssl_cert_reqs": "required",
                "ssl_check_hostname": True,
                "ssl_min_version": ssl.TLSVersion.TLSv1_2,
                "ssl_ca_certs": None if ca_file is None else str(ca_file),
            }
        self._redis = redis.Redis(
            **where,
            password=None if password_file is None else read_secret(password_file),
            decode_responses=True,
            socket_connect_timeout=ANSWER_WITHIN_S,
            socket_timeout=ANSWER_WITHIN_S,
            # Once more, because a connection may have gone stale; the script may run twice.
            retry=Retry(NoBackoff(), 1),
            max_connections=CONNECTIONS_MAX,
            client_name="v2g",
        )
        self._script = self._redis.register_script(_KEEP)

    def put(self, states: Collection[VehicleState], *, now: datetime) -> int:
        """As ``VehicleStates.put``."""
        fresh = [one for one in states if one.measured_at + self._keep > now]
        kept = 0
        with self._answering():
            for start in range(0, len(fresh), PIPELINE_MAX):
                with self._redis.pipeline(transaction=False) as pipe:
                    pipe.zremrangebyscore(INDEX, "-inf", _since_1970(now, _MILLISECOND))
                    for one in fresh[start : start + PIPELINE_MAX]:
                        self._script(
                            keys=[PREFIX + "state:" + one.vehicle_id, INDEX],
                            args=[
                                _since_1970(one.measured_at, _MICROSECOND),
                                _written(one),
                                _since_1970(one.measured_at + self._keep, _MILLISECOND),
                                one.vehicle_id,
                            ],
                            client=pipe,
                        )
                    kept += sum(pipe.execute()[1:])
        return kept

    def get(self, vehicle_id: str, *, now: datetime) -> VehicleState | None:
        """As ``VehicleStates.get``."""
        with self._answering():
            text = self._redis.hget(PREFIX + "state:" + vehicle_id, "state")
            state = None if text is None else _read(vehicle_id, str(text))
        return state if state and state.measured_at + self._keep > now else None

    def newest(self, *, limit: int, now: datetime) -> list[VehicleState]:
        """As ``VehicleStates.newest``."""
        after = f"({_since_1970(now, _MILLISECOND)}"
        with self._answering():
            listed = self._redis.zrevrangebyscore(INDEX, "+inf", after, start=0, num=limit)
            names = [str(name) for name in listed]
            found: list[VehicleState] = []
            for start in range(0, len(names), PIPELINE_MAX):
                some = names[start : start + PIPELINE_MAX]
                with self._redis.pipeline(transaction=False) as pipe:
                    for name in some:
                        pipe.hget(PREFIX + "state:" + name, "state")
                    texts = pipe.execute()
                found += [_read(n, t) for n, t in zip(some, texts, strict=True) if t is not None]
        found.sort(key=lambda one: one.vehicle_id)
        return sorted(found, key=lambda one: one.measured_at, reverse=True)

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            raise CacheUnavailableError(self.place, f"{type(error).__name__}: {error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise CacheUnavailableError(
                self.place,
                f"a key under {PREFIX} holds something else than a state of ours ({error})",
            ) from error


def _address(url: str) -> dict[str, Any]:
    """What ``redis.Redis`` is told of the address, and under ``said`` how it is named in messages."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UnusableCacheAddressError("it cannot be read as a URL") from error
    if parts.password is not None:
        raise UnusableCacheAddressError(
            "it holds a password; put it into the file that V2G_REDIS_PASSWORD_FILE names"
        )
    if parts.query or parts.fragment:
        # redis-py would take ssl_cert_reqs=none and the like from there.
        raise UnusableCacheAddressError("it has options behind ? or #; leave them out")
    user = unquote(parts.username) if parts.username else None
    if parts.scheme == "unix" and parts.path and not parts.hostname:
        return {"unix_socket_path": parts.path, "username": user, "said": parts.path}
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise UnusableCacheAddressError(f"its scheme is {parts.scheme or 'missing'!r}")
    secure = parts.scheme == "rediss"
    if not secure and not is_loopback(parts.hostname):
        raise UnusableCacheAddressError(
            f"{parts.hostname} is another machine, and redis:// would speak to it in the clear"
        )
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise UnusableCacheAddressError(
            f"its path is {parts.path!r}; expected a number, such as /0"
        )
    port = 6379 if port is None else port
    return {
        "host": parts.hostname,
        "port": port,
        "db": int(database),
        "username": user,
        "ssl": secure,
        "said": f"{parts.hostname}:{port}",
    }


def _since_1970(at: datetime, unit: timedelta) -> int:
    return (at - _EPOCH) // unit


def _written(state: VehicleState) -> str:
    return json.dumps(
        {
            "evse_id": state.evse_id,
            "measured_at": state.measured_at.isoformat(),
            "soc_ppm": state.soc_ppm,
            "power_w": state.power_w,
        },
        separators=(",", ":"),
    )


def _read(vehicle_id: str, text: str) -> VehicleState:
    """Raises ValueError, TypeError or KeyError where the text is none of ours."""
    fields = json.loads(text)
    measured_at = datetime.fromisoformat(fields["measured_at"])
    if measured_at.tzinfo is None:
        raise ValueError("measured_at without a zone")
    numbers = (fields["soc_ppm"], fields["power_w"])
    if not all(number is None or type(number) is int for number in numbers):
        raise ValueError("a number that is none")
    return VehicleState(vehicle_id, str(fields["evse_id"]), measured_at, *numbers)
