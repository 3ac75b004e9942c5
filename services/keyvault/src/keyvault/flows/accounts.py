"""Accounts: signing up, logging in and out, the first admin.

Who guesses is slowed down by address and by account, and learns nothing: an unknown address, a wrong password and a
disabled account give the same answer after the same work.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from common.clock import Clock
from common.contracts.snapshots import AccountTier, Role, TokenRevocation, UserSessions
from common.contracts.topology import SESSIONS_BUCKET
from common.errors import Conflict, Forbidden, Unauthorized
from common.ids import uuid7
from common.postgres.outbox import add, snapshot
from common.postgres.pool import Pool

from keyvault.domain.accounts import InvalidEmail, User, clean_email
from keyvault.domain.actors import SYSTEM, Actor
from keyvault.domain.audit import Act
from keyvault.domain.passwords import NOBODYS_HASH
from keyvault.domain.tokens import Session, TokenSigner
from keyvault.flows.audit_trail import record
from keyvault.flows.hashing import Hashing
from keyvault.flows.throttle import Throttle
from keyvault.store import sessions, users

log = structlog.get_logger()

_WINDOW_SECONDS = 600.0
_FAILURES_AN_ACCOUNT = 10
_FAILURES_AN_ADDRESS = 50


class WrongLogin(Unauthorized):
    """No such account, not its password, or disabled: which, is not said."""


class SignupClosed(Forbidden):
    """Accounts are made by somebody else here."""


class WrongPassword(Forbidden):
    """What was given as the present password is not it."""


class EmailTaken(Conflict):
    """There is an account with this address."""


class Accounts:
    """The journeys of one who has, or wants, an account."""

    def __init__(
        self, pool: Pool, clock: Clock, signer: TokenSigner, hashing: Hashing, *, is_signup_open: bool
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._signer = signer
        self._hashing = hashing
        self._is_signup_open = is_signup_open
        self._by_account = Throttle(clock, limit=_FAILURES_AN_ACCOUNT, window_seconds=_WINDOW_SECONDS)
        self._by_address = Throttle(clock, limit=_FAILURES_AN_ADDRESS, window_seconds=_WINDOW_SECONDS)

    async def sign_up(self, email: str, password: str, name: str, origin: str | None) -> Session:
        """Make a trial account and begin its first session."""
        if not self._is_signup_open:
            raise SignupClosed("sign-up is closed")
        user = await self._added(clean_email(email), password, name, "user", "trial", origin)
        if user is None:
            raise EmailTaken("email: there is an account with this address")
        return self._signer.sign(user, uuid7(), self._clock.now())

    async def ensure_admin(self, email: str, password: str) -> None:
        """Make the first admin where the address has no account; an existing account stays as it is."""
        address = clean_email(email)
        async with self._pool.acquire() as connection:
            if await users.by_email(connection, address) is not None:
                return
        if await self._added(address, password, "Admin", "admin", "enterprise", None) is not None:
            log.info("first_admin_created")

    async def log_in(self, email: str, password: str, origin: str | None) -> Session:
        """Begin a session; WrongLogin when that is not theirs, TooManyAttempts when it failed too often."""
        address = _address(email)
        account, place = address or "", origin or ""
        self._by_account.check(account)
        self._by_address.check(place)
        # Counted before the work, so that guesses side by side are counted too.
        self._by_account.note(account)
        self._by_address.note(place)
        session = await self._session(address, password)
        self._by_account.forget(account)
        self._by_address.forgive(place)
        return session

    async def change_password(self, by: Actor, current: str, following: str) -> tuple[Session, int]:
        """Set another password and end all sessions; a fresh one, and the outbox row that tells everybody.
        WrongPassword, and TooManyAttempts after as many as a login may have."""
        user = await self.account(by.id)
        self._by_account.check(user.email)
        self._by_account.note(user.email)
        if not await self._hashing.is_password(user.password_hash, current):
            raise WrongPassword("current_password: wrong")
        self._by_account.forget(user.email)
        password_hash = await self._hashing.hash(following)
        async with self._pool.acquire() as connection, connection.transaction():
            held = await users.lock(connection, user.id)
            if held is None or not held.enabled or held.password_hash != user.password_hash:
                raise WrongPassword("current_password: wrong")
            now = self._clock.now()
            await users.update_password(connection, user.id, password_hash, now)
            await record(connection, Act(by, "user.password_changed", user.id), now)
            state = snapshot(SESSIONS_BUCKET.name, f"user.{user.id}", UserSessions(not_before=now))
            outbox_id = await add(connection, [state])
        return self._signer.sign(held, uuid7(), now), outbox_id

    async def log_out(self, user_id: str, token_id: str, expires_at: datetime) -> int:
        """End one session; the outbox row that tells everybody."""
        async with self._pool.acquire() as connection, connection.transaction():
            await sessions.revoke_token(connection, token_id, user_id, expires_at, self._clock.now())
            state = TokenRevocation(expires_at=expires_at)
            return await add(connection, [snapshot(SESSIONS_BUCKET.name, f"revoked.{token_id}", state)])

    async def account(self, user_id: str) -> User:
        """The account of a session; Unauthorized when it is gone."""
        async with self._pool.acquire() as connection:
            user = await users.by_id(connection, user_id)
        if user is None:
            raise Unauthorized("session has ended")
        return user

    async def _session(self, address: str | None, password: str) -> Session:
        async with self._pool.acquire() as connection:
            user = await users.by_email(connection, address) if address else None
        stored = user.password_hash if user else NOBODYS_HASH
        is_right = await self._hashing.is_password(stored, password)
        if user is None or not is_right:
            raise WrongLogin("wrong e-mail or password")
        # The account may have been changed meanwhile. It is held while the session begins, so that a change that ends
        # its sessions either was seen here or ends this one too.
        async with self._pool.acquire() as connection, connection.transaction():
            held = await users.hold(connection, user.id)
            if held is None or not held.enabled or held.password_hash != stored:
                raise WrongLogin("wrong e-mail or password")
            return self._signer.sign(held, uuid7(), self._clock.now())

    async def _added(
        self, email: str, password: str, name: str, role: Role, tier: AccountTier, origin: str | None
    ) -> User | None:
        """Add an account; None when the address is taken."""
        password_hash = await self._hashing.hash(password)
        now = self._clock.now()
        user = User(uuid7(), email, name, password_hash, role, tier, True, now, now)
        actor = SYSTEM if role == "admin" else Actor(user.id, origin=origin)
        async with self._pool.acquire() as connection, connection.transaction():
            if not await users.insert(connection, user):
                return None
            await record(connection, Act(actor, "user.created", user.id, {"role": role, "tier": tier}), now)
        return user


def _address(email: str) -> str | None:
    try:
        return clean_email(email)
    except InvalidEmail:
        return None
