"""The control routes: what tests order and ask over HTTP. They need no key; the simulator is no public server.

`/control/faults` holds standing rules, `/control/releases` lets held answers go, `/control/revocations` keys that are
no longer good, `/control/rates` what models are billed at, `/control/journal` and `/control/summary` what has been
called. Answers are JSON.
"""

from __future__ import annotations

from urllib.parse import parse_qs

import msgspec

from simulator.bills import Bills, Rates
from simulator.connection import Connection
from simulator.faults import DirectiveError, FaultRule, FaultRules
from simulator.gates import Gates
from simulator.journal import Journal
from simulator.keys import Keys
from simulator.records import CallRecords
from simulator.refusals import Refusal

_encode = msgspec.json.encode


class Revocation(msgspec.Struct):
    """A key that is to be refused from now on."""

    key: str


class Release(msgspec.Struct):
    """A gate whose calls may go on."""

    name: str


class Control:
    """Answers the control routes, `/livez`, `/readyz` and `/metrics`."""

    def __init__(
        self, rules: FaultRules, keys: Keys, records: CallRecords, journal: Journal, bills: Bills, gates: Gates
    ) -> None:
        self._rules = rules
        self._keys = keys
        self._records = records
        self._journal = journal
        self._bills = bills
        self._gates = gates

    async def answer(self, method: str, path: str, query: bytes, connection: Connection) -> None:
        """Answers one request, 404 when the route is none of these."""
        try:
            status, body = self._answered(f"{method} {path}", query, await connection.read_body())
        except (DirectiveError, msgspec.MsgspecError) as error:
            status, body = 400, _encode({"detail": str(error)})
        except Refusal as refusal:
            status, body = refusal.status, _encode({"detail": str(refusal)})
        content_type = b"text/plain; version=0.0.4" if path == "/metrics" else b"application/json"
        await connection.whole(status, [], content_type, body)

    def _answered(self, route: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        match route:
            case "GET /livez":
                return 200, b'{"status":"alive"}'
            case "GET /readyz":
                return (200, b'{"status":"ready"}') if self._journal.is_sound else (503, b'{"status":"journal failed"}')
            case "GET /metrics":
                return 200, self._metrics()
            case "POST /control/faults":
                rule = msgspec.json.decode(body, type=FaultRule)
                self._rules.add(rule)
                return 201, _encode(rule)
            case "GET /control/faults":
                return 200, _encode({"items": self._rules.listed()})
            case "DELETE /control/faults":
                self._rules.clear()
                return 200, _encode({"items": []})
            case _:
                return self._told(route, query, body)

    def _told(self, route: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        match route:
            case "POST /control/releases":
                self._gates.release(msgspec.json.decode(body, type=Release).name)
                return 201, b"{}"
            case "POST /control/revocations":
                self._keys.revoke(msgspec.json.decode(body, type=Revocation).key)
                return 201, b"{}"
            case "DELETE /control/revocations":
                self._keys.restore()
                return 200, b"{}"
            case "POST /control/rates":
                rates = msgspec.json.decode(body, type=Rates)
                self._bills.set_rates(rates)
                return 201, _encode(rates)
            case "GET /control/journal":
                wanted = parse_qs(query.decode("latin-1")).get("client_request_id", [None])[0]
                return 200, _encode({"items": self._records.recent(wanted)})
            case "DELETE /control/journal":
                self._records.clear()
                return 200, _encode({"items": []})
            case "GET /control/summary":
                totals = self._records.totals()
                return 200, _encode({"started_calls": self._records.started_calls, "items": totals})
            case _:
                return 404, _encode({"detail": f"no route {route}"})

    def _metrics(self) -> bytes:
        """Counters in Prometheus' text format, summed over models: names of models are callers' words."""
        sums: dict[tuple[str, str], int] = {}
        for total in self._records.totals():
            for name in ("calls", "complete", "failed", "disconnected", "prompt_tokens", "completion_tokens"):
                sums[name, total.provider] = sums.get((name, total.provider), 0) + getattr(total, name)
        lines, told = [], ""
        for (name, provider), count in sorted(sums.items()):
            metric = f"simulator_{name}_total"
            if metric != told:
                lines.append(f"# TYPE {metric} counter")
                told = metric
            lines.append(f'{metric}{{provider="{provider}"}} {count}')
        return "\n".join([*lines, ""]).encode()
