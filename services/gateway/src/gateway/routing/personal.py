"""The plan of a call whose caller has credentials of their own: which of them it uses, and where the system's step in.

By default a user's own credential for a provider goes before the system's; `x-tollgate-credential` names one, and then
only its provider is called. The system's key steps in only where the credential's owner said so (`fallback_to_system`).
"""

from __future__ import annotations

from dataclasses import dataclass

from common.contracts.snapshots import CredentialSnapshot
from common.providers.registry import PROVIDERS

from gateway.mirrors.own_credentials import OwnCredentials
from gateway.mirrors.usable import NoSecret
from gateway.routing.plan import Own, Plan, Planner
from gateway.shapes import Refusal

CREDENTIAL_HEADER = b"x-tollgate-credential"


@dataclass(frozen=True, slots=True)
class PersonalPlans:
    """Makes the plans of users who have credentials of their own."""

    planner: Planner
    own: OwnCredentials

    def concerns(self, user_id: str | None) -> bool:
        """Whether a user's calls are planned here even if they name no credential."""
        return bool(self.own.of_user(user_id))

    async def plan(self, user_id: str | None, name: str, chosen: str | None) -> Plan | None:
        """The plan for a name; None when there is no such model. Raises Refusal for a credential that cannot be used,
        and when its secret cannot be had."""
        candidates = {one.provider_type: one for one in self._candidates(user_id, chosen)}
        wanted = self.planner.provider_types(name)
        if chosen is not None and wanted and not wanted & candidates.keys():
            raise Refusal("credential_unusable", f"{', '.join(candidates)}, which does not serve {name}", model=name)
        usable: dict[str, Own] = {}
        lost: set[str] = set()
        for provider_type in wanted & candidates.keys():
            snapshot = candidates[provider_type]
            try:
                credential = await self.own.secret_of(snapshot)
                usable[provider_type] = Own(credential, snapshot.is_default, snapshot.fallback_to_system)
            except NoSecret:
                if not snapshot.fallback_to_system:
                    lost.add(provider_type)
        among = frozenset(candidates) if chosen is not None else wanted
        plan = self.planner.plan(name, usable, among - lost)
        if lost and (plan is None or not plan.deployments):
            names = ", ".join(PROVIDERS[each].display_name for each in sorted(lost))
            raise Refusal("service_unavailable", f"your own credential for {names} cannot be opened now", model=name)
        return plan

    def _candidates(self, user_id: str | None, chosen: str | None) -> list[CredentialSnapshot]:
        if chosen is None:
            return list(self.own.of_user(user_id).values())
        found = self.own.find(chosen, user_id) if user_id is not None else None
        if found is None:
            raise Refusal("credential_not_found", param="x-tollgate-credential")
        if not found.enabled:
            raise Refusal("credential_inactive", param="x-tollgate-credential")
        return [found]
