"""A settlement that is to be made again: what billing asks of the gateways, in the list `settle:again` in Redis.

A reaper settles an abandoned hold by an estimate. When the call's own gateway had told its final cost and died before it
settled that, the estimate stays in `cost:` while the ledger has the final. Billing sees both events, and asks for the
settlement by the final; settling is idempotent, so asking twice, or for one that was made, changes nothing.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt


class Resettlement(BaseModel):
    """What the hold of an attempt is to become, whatever it has become before."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request_id: str
    attempt: PositiveInt
    """Its number, from 1."""
    cost_nano: NonNegativeInt
    """Nano-USD that the caller owes for it."""
    tokens: NonNegativeInt
    """Tokens that it used."""
    epoch: str
    """The epoch that counts it; empty: none, for billing itself does."""
