"""Prefect's server, asked over HTTP: does it answer and let us in, is a worker there, is work late?"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from settlement.hosts import is_loopback
from tasks.doctor.finding import Finding, State

ANSWER_WITHIN_S: Final = 3.0
POOL: Final = "v2g"
DEPLOYMENTS_MAX: Final = 200
_DEPLOY: Final = "python -m flows.deploy (infra/README.md, What runs when)"
_EXPECTED: Final = "a server that answers and lets us in"


def prefect(api_url: str, login: str, *, pool: str = POOL) -> Sequence[Finding]:
    """Findings about the server, its worker and its deployments; or the one that it cannot be used.

    Args:
        api_url: such as http://127.0.0.1:4200/api; empty: not set.
        login: "user:password"; empty: none. Never shown.
        pool: the work pool of our deployments.
    """
    if not api_url:
        repair = "set PREFECT_API_URL, or name the file that does: --settings FILE"
        return (Finding("prefect", State.UNKNOWN, "PREFECT_API_URL is not set", _EXPECTED, repair),)
    parts = urlsplit(api_url)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    user, _, password = login.partition(":")
    try:
        with httpx.Client(
            base_url=f"{api_url.rstrip('/')}/",
            auth=(user, password) if login else None,
            timeout=ANSWER_WITHIN_S,
            trust_env=not is_loopback(parts.hostname or ""),
        ) as client:
            plain = parts.scheme == "http" and not is_loopback(parts.hostname or "")
            return _asked(client, where, pool, plain=plain)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        found = f"{where}: {type(error).__name__}"
        repair = "systemctl status v2g-prefect; look at PREFECT_API_URL"
        return (Finding("prefect", State.BAD, found, _EXPECTED, repair),)


def _asked(client: httpx.Client, where: str, pool: str, *, plain: bool) -> Sequence[Finding]:
    version = client.get("admin/version")
    if version.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        repair = "PREFECT_API_AUTH_STRING, or --settings /etc/v2g/prefect-client.env"
        return (Finding("prefect", State.BAD, f"{where}: our login is refused", _EXPECTED, repair),)
    told = f"{where}, {version.raise_for_status().json()}"
    if plain:
        repair = "HTTPS in front of it, or loopback: a login in plain HTTP is everybody's"
        server = Finding("prefect", State.BAD, f"{told}, in plain HTTP", _EXPECTED, repair)
    else:
        server = Finding("prefect", State.OK, told, _EXPECTED)
    return (server, _worker(client, pool), _deployments(client, pool), _late(client))


def _worker(client: httpx.Client, name: str) -> Finding:
    expected = f"a worker at the work pool {name}"
    answer = client.get(f"work_pools/{name}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return Finding("prefect worker", State.BAD, "no such work pool", expected, _DEPLOY)
    pool: Mapping[str, Any] = answer.raise_for_status().json()
    status = str(pool.get("status"))
    if status == "READY":
        return Finding("prefect worker", State.OK, "there", expected)
    if pool.get("is_paused"):
        repair = "v2g workers resume"
        return Finding("prefect worker", State.BAD, "the pool is paused", expected, repair)
    repair = "systemctl start v2g-worker; journalctl -u v2g-worker says why it stopped"
    return Finding("prefect worker", State.BAD, f"none ({status})", expected, repair)


def _deployments(client: httpx.Client, pool: str) -> Finding:
    expected = "the deployments of prefect.yaml, none paused"
    body = {"limit": DEPLOYMENTS_MAX, "work_pools": {"name": {"any_": [pool]}}}
    found = client.post("deployments/filter", json=body).raise_for_status().json()
    if not found:
        return Finding("prefect deployments", State.BAD, "none", expected, _DEPLOY)
    if paused := sorted(one["name"] for one in found if one.get("paused")):
        repair = f"v2g schedules resume {paused[0]}"
        told = f"paused: {', '.join(paused)}"
        return Finding("prefect deployments", State.WARN, told, expected, repair)
    return Finding("prefect deployments", State.OK, str(len(found)), expected)


def _late(client: httpx.Client) -> Finding:
    body = {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}}
    late = int(client.post("flow_runs/count", json=body).raise_for_status().json())
    expected = "no run that is late"
    if not late:
        return Finding("prefect runs", State.OK, "none late", expected)
    repair = "v2g flow-runs list --state Late; a worker that is busy catches up by itself"
    return Finding("prefect runs", State.WARN, f"{late} late", expected, repair)
