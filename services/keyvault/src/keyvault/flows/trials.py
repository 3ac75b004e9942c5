"""What giving and trying a provider key have in common, whosever it is: where it may go, and asking its provider.

Trials are counted by who asks: ten a minute. Before a kept key is opened to be tried, its caller has audited that.
"""

from __future__ import annotations

from dataclasses import replace

from common.clock import Clock
from common.providers.registry import ProviderRow
from common.secret import Secret
from common.urls import ForbiddenUrl, UrlRules

from keyvault.domain.actors import Actor
from keyvault.domain.credentials import Credential, call_url, check_base_url, is_simulators, place_of, provider_row
from keyvault.domain.encryption import Keyring
from keyvault.flows.throttle import Throttle
from keyvault.probes import ProbeResult, Probes

_TRIALS_A_MINUTE = 10


class Trials:
    """Provider keys on their way into the table, and to their provider to be tried."""

    def __init__(
        self, clock: Clock, keyring: Keyring, probes: Probes, rules: UrlRules, *, simulator_url: str | None
    ) -> None:
        self._keyring = keyring
        self._probes = probes
        self._rules = rules
        self.simulator_url = simulator_url
        self._counted = Throttle(clock, limit=_TRIALS_A_MINUTE, window_seconds=60.0)

    def checked_url(self, row: ProviderRow, base_url: str | None, secret: Secret) -> str | None:
        """The base URL that a person gave, if it may be called; ForbiddenUrl also where one is needed."""
        if base_url:
            return check_base_url(base_url, self._rules)
        if not row.base_url and not is_simulators(secret):
            raise ForbiddenUrl(f"base_url: {row.display_name} needs one")
        return None

    def sealed(self, credential: Credential, secret: Secret) -> Credential:
        """A credential with a secret, encrypted and bound to it."""
        return replace(credential, ciphertext=self._keyring.encrypt(secret, credential.binding))

    def count(self, by: Actor) -> None:
        """Count one trial. TooManyAttempts after ten in a minute."""
        self._counted.check(by.id)
        self._counted.note(by.id)

    async def of_given(self, row: ProviderRow, base_url: str | None, secret: Secret) -> ProbeResult:
        """Call a provider with a key that is not kept."""
        place = place_of(row, base_url, self.simulator_url if is_simulators(secret) else None)
        return await self._probes.ask(row, place, secret)

    async def of_kept(self, credential: Credential) -> ProbeResult:
        """Call a provider with a key that is kept."""
        secret = self._keyring.decrypt(credential.ciphertext or "", credential.binding)
        place = call_url(credential, self.simulator_url)
        return await self._probes.ask(provider_row(credential.provider_type), place, secret)
