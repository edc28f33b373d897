"""Postings, and who sends them to a clearinghouse."""

import base64
import hashlib
import json

import httpx

TOKEN = "token-of-the-test"


def posting(name=1, **changes):
    return {
        "posting_id": f"posting-{name}",
        "settlement_id": f"settlement-{name}",
        "program": "example-energy",
        "event_id": "GRID-1",
        "vehicle_id": "VEHICLE-1",
        "kind": "payout",
        "account": "owner-1",
        "currency": "USD",
        "amount_minor": "377",
        "period_started_at": "2026-07-01T17:00:00Z",
        "period_ended_at": "2026-07-01T18:00:00Z",
        "supersedes": None,
    } | changes


def digest_of(body):
    """A body's Content-Digest (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


class Caller:
    """A plain client of one clearinghouse."""

    def __init__(self, house, **options):
        self.house = house
        self.client = httpx.Client(
            base_url=house.url,
            headers={"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"},
            timeout=5,
            trust_env=False,
            **options,
        )

    def request(self, fields, key=None, **options):
        key = key if key is not None else f'"{fields["posting_id"]}"'
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self.client.build_request(
            "POST", "/v1/postings", content=json.dumps(fields), headers=headers, **options
        )

    def post(self, fields, key=None, **options):
        return self.client.send(self.request(fields, key, **options))

    def ask(self, posting_id):
        return self.client.get(f"/v1/postings/{posting_id}")

    def effects(self, posting_id):
        """How often it took effect."""
        return self.house.truth().effects.get(posting_id, 0)
