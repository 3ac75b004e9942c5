"""Bugs that the harness must catch: each a change of one place, with the kind of fault under which it shows.

A row names the file, what stands there, what is put in its place, and the faults to play. What it breaks is for the
harness to say: any promise that does not hold is a catch.
"""

from __future__ import annotations

from dataclasses import dataclass

_GATEWAY = "services/gateway/src/gateway"
_LIMITS = f"{_GATEWAY}/limits"
_BILLING = "services/billing/src/billing"
_CONSUME = "libs/common/src/common/bus/consume.py"


@dataclass(frozen=True)
class Sabotage:
    """One planted bug. Without a file it is a server that is started without syncing: `undurable`."""

    name: str
    fault: str
    file: str = ""
    old: str = ""
    planted: str = ""
    undurable: tuple[str, ...] = ()

    def plant(self, text: str) -> str:
        """The file's text with the bug in it; ValueError when its place is not there exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.file} holds {text.count(self.old)} × {self.old!r}, not one")
        return text.replace(self.old, self.planted)


SABOTAGES = (
    Sabotage(
        "acknowledge before the commit",
        "postgres killed",
        _CONSUME,
        "            await self._handle([_received(msg) for msg in delivered])\n",
        "            [await msg.ack() for msg in delivered]\n"
        "            await self._handle([_received(msg) for msg in delivered])\n",
    ),
    Sabotage(
        "free a hold by time",
        "gateway killed",
        f"{_LIMITS}/admit.lua",
        "redis.call('ZADD', 'holds', now + lease, name)\nreturn { 'ok', epoch, output,",
        "redis.call('ZADD', 'holds', now + lease, name)\nredis.call('PEXPIRE', hold_key, 3000)\n"
        "return { 'ok', epoch, output,",
    ),
    Sabotage(
        "no fence",
        "redis emptied",
        f"{_LIMITS}/admit.lua",
        "if not epoch then return { 'closed' } end",
        "epoch = epoch or ''",
    ),
    Sabotage("a bus that does not sync", "power cut of nats", undurable=("nats",)),
    Sabotage("a Redis that syncs each second", "power cut of redis", undurable=("redis",)),
    Sabotage(
        "settle twice",
        "nothing",
        f"{_LIMITS}/settle.lua",
        "  if is_same and added ~= '0' then redis.call('INCRBY', 'cost:' .. suffix, added) end\n",
        "  if is_same and added ~= '0' then redis.call('INCRBY', 'cost:' .. suffix, 2 * added) end\n",
    ),
    Sabotage(
        "forget the hold at settlement",
        "nothing",
        f"{_LIMITS}/settle.lua",
        "  redis.call('DECRBY', 'held:' .. suffix, freed)\n",
        "",
    ),
    Sabotage(
        "what is held does not count",
        "nothing",
        f"{_LIMITS}/admit.lua",
        "local spent, held = tonumber(found[#counted + 4] or 0), tonumber(found[#counted + 5] or 0)",
        "local spent, held = tonumber(found[#counted + 4] or 0), 0",
    ),
    Sabotage(
        "say the end before it is recorded",
        "gateway killed",
        f"{_GATEWAY}/pipeline.py",
        "        charge(attempt)\n"
        "        try:\n            await self._close(call)\n        except NowhereToStore:\n"
        "            await self._end_with(call, refusal_answer(_UNSTORED, as_openai=self.openai_codes))\n"
        "            return\n",
        "        charge(attempt)\n"
        "        asyncio.get_running_loop().call_later(\n"
        "            0.3, lambda: asyncio.ensure_future(self._close_unseen(call))\n        )\n",
    ),
    Sabotage(
        "a hang-up ends without a word",
        "nothing",
        f"{_GATEWAY}/pipeline.py",
        '                self._stopped(call, "client_disconnected", "the client hung up")\n'
        "                await self.finishing.run(self._close_unseen(call))\n",
        "",
    ),
    Sabotage(
        "a hang-up costs nothing",
        "nothing",
        f"{_GATEWAY}/pipeline.py",
        "            attempt.usage = call.estimated_usage()\n        charge(attempt)\n        attempt.error",
        "            attempt.usage = call.estimated_usage()\n        attempt.error",
    ),
    Sabotage(
        "an event that the bus did not take is dropped",
        "nats killed",
        f"{_GATEWAY}/metering.py",
        "            await self._keep_elsewhere(event_id, subject, body, str(error))\n",
        "            log.warning('dropped', error=str(error))\n",
    ),
    Sabotage(
        "take a waiting event out of Redis before it is published",
        "nats killed",
        f"{_GATEWAY}/waiting.py",
        "        outcomes = await asyncio.gather(*map(recorder.publish_waiting, parked), return_exceptions=True)\n",
        "        await asyncio.gather(*[line.ask('LREM', GATEWAY_LOGS_KEY, 1, event) for event in parked])\n"
        "        outcomes = await asyncio.gather(*map(recorder.publish_waiting, parked), return_exceptions=True)\n",
    ),
    Sabotage(
        "a bound that is none",
        "nothing",
        f"{_GATEWAY}/limits/limiter.py",
        "        claim.input_nano,\n",
        "        claim.input_nano // 100,\n",
    ),
    Sabotage(
        "open while Redis is away",
        "redis killed",
        f"{_GATEWAY}/pipeline.py",
        '            self.leases.never_sent(claim.request_id, claim.attempt)\n            return Refused("closed")\n',
        "            counters = claim.terms.counters(claim.place, int(call.log.started_at.timestamp() * 1000))\n"
        "            held = claim.input_nano + claim.output_tokens * 60_000\n"
        "            blank = tuple((0, 0) for _ in counters.rules)\n"
        "            admitted = Admitted('', claim.output_tokens, held, 0, -1, 0, -1, blank, counters)\n",
    ),
    Sabotage(
        "the reaper settles and tells nobody",
        "gateway killed",
        f"{_GATEWAY}/reaper.py",
        "        await self._recorder.make_safe(*told)\n",
        "",
    ),
    Sabotage(
        "the reaper never looks",
        "gateway killed",
        f"{_GATEWAY}/reaper.py",
        "        for hold in abandoned:\n            await self._tell(hold)\n",
        "",
    ),
    Sabotage(
        "nobody settles again",
        "killed before it settles",
        f"{_GATEWAY}/waiting.py",
        "            await settle_again(line, limiter)\n",
        "            pass\n",
    ),
    Sabotage(
        "a budget ends before its end",
        "a thousand on a dollar",
        f"{_LIMITS}/admit.lua",
        "    if unspent < least then",
        "    if unspent < least * 20 then",
    ),
    Sabotage(
        "an estimate is never corrected",
        "paused beyond the lease",
        f"{_BILLING}/domain/ledger.py",
        'return before is None or (before.state == "estimated" and event.state == "final")',
        "return before is None",
    ),
    Sabotage(
        "a rounding in the price",
        "nothing",
        "libs/common/src/common/pricing.py",
        "    total = _EXACT.divide(total, _MILLION)\n",
        '    total = _EXACT.divide(total, _MILLION) + Decimal("0.000000000001")\n',
    ),
    Sabotage(
        "count one token too many",
        "nothing",
        f"{_GATEWAY}/providers/wires/openai/usage.py",
        "        output_tokens=",
        "        output_tokens=1 + ",
    ),
    Sabotage(
        "the gateway's own clock decides the month",
        "clock in another month",
        f"{_LIMITS}/admit.lua",
        "if now < begins or now >= ends then return { 'clock', now } end\n",
        "",
    ),
    Sabotage(
        "replies of Redis in any order",
        "nothing",
        f"{_LIMITS}/redis.py",
        "            future, _ = self._waiting.popleft()\n",
        "            future, _ = self._waiting.pop()\n",
    ),
    Sabotage(
        "a shutdown that does not wait",
        "rolling restart",
        f"{_GATEWAY}/main.py",
        "        grace_seconds=settings.drain_seconds,\n",
        "        grace_seconds=0,\n",
    ),
    Sabotage(
        "open before the counters are restored",
        "redis emptied",
        f"{_BILLING}/flows/admission.py",
        "                await self._others.restore(connection)\n",
        "                pass\n",
    ),
    Sabotage(
        "leave a tenth of a batch out",
        "nothing",
        f"{_BILLING}/consumers.py",
        "for received in batch])",
        "for received in batch if received.sequence % 10])",
    ),
)
