"""What keyvault can do: `Keyvault` holds its journeys, one file a subject, one public method a journey.

A journey is one transaction; it makes every id and timestamp, and knows neither SQL nor HTTP shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.clock import Clock
from common.postgres.pool import Pool
from common.secret import Secret
from common.urls import UrlRules

from keyvault.domain.encryption import Keyring
from keyvault.domain.reminders import ReminderRules
from keyvault.domain.tokens import TokenSigner
from keyvault.flows.accounts import Accounts
from keyvault.flows.audit_trail import AuditTrail
from keyvault.flows.deliveries import Deliveries
from keyvault.flows.hashing import Hashing
from keyvault.flows.kept_keys import KeptSecrets
from keyvault.flows.key_rotations import KeyRotations
from keyvault.flows.own_credentials import OwnCredentials
from keyvault.flows.provider_keys import ProviderKeys
from keyvault.flows.refusals import Refusals
from keyvault.flows.reminders import Reminders
from keyvault.flows.rewrapping import Rewrapping
from keyvault.flows.sessions import SessionKeeping
from keyvault.flows.single_sign_on import SingleSignOn, Trusted
from keyvault.flows.snapshots import Snapshots
from keyvault.flows.teams import Teams
from keyvault.flows.trials import Trials
from keyvault.flows.users import Users
from keyvault.flows.uses import Uses
from keyvault.flows.virtual_keys import VirtualKeys
from keyvault.probes import Probes
from keyvault.sources.shelf import Shelf
from keyvault.store.refusal_marks import RefusalMarks


@dataclass(frozen=True, slots=True)
class Means:
    """What journeys are made with."""

    pool: Pool
    clock: Clock
    signer: TokenSigner
    keyring: Keyring
    marks: RefusalMarks
    probes: Probes
    is_signup_open: bool
    rules: UrlRules
    simulator_url: str | None
    single_sign_on: Trusted | None
    reminders: ReminderRules
    shelf: Shelf | None
    provider_keys: Mapping[str, Secret]


class Keyvault:
    """All journeys, by subject."""

    def __init__(self, means: Means) -> None:
        pool, clock, simulator_url = means.pool, means.clock, means.simulator_url
        self.refusals = Refusals(pool, clock, means.marks)
        self.accounts = Accounts(pool, clock, means.signer, Hashing(), is_signup_open=means.is_signup_open)
        self.users = Users(pool, clock, self.refusals)
        self.single_sign_on = SingleSignOn(pool, clock, means.signer, self.users, means.single_sign_on)
        self.teams = Teams(pool, clock, self.refusals)
        self.sessions = SessionKeeping(pool, clock, means.signer)
        self.virtual_keys = VirtualKeys(pool, clock, self.refusals)
        self.key_rotations = KeyRotations(pool, clock, self.virtual_keys)
        admins, owners = (
            Trials(clock, means.keyring, means.probes, means.rules, simulator_url=simulator_url) for _ in range(2)
        )  # each counts trials for itself
        self.provider_keys = ProviderKeys(pool, clock, means.keyring, admins)
        self.kept_secrets = KeptSecrets(self.provider_keys, means.shelf, means.provider_keys)
        self.own_credentials = OwnCredentials(pool, clock, means.keyring, owners)
        self.reminders = Reminders(pool, clock, means.reminders)
        self.rewrapping = Rewrapping(pool, clock, means.keyring)
        self.deliveries = Deliveries(pool, clock, means.keyring)
        self.snapshots = Snapshots(pool, clock, simulator_url=simulator_url)
        self.uses = Uses(pool, self.own_credentials)
        self.audit_trail = AuditTrail(pool)
