"""Signing in with an OpenID Connect issuer: authorization code with PKCE, from the first redirect to our own session.

An identity (issuer and subject) opens exactly one account: the one that was made when it first came, or the one whose
signed-in owner linked it. An account that merely has the same address is not opened: addresses of accounts made here were
never proven, and those at an issuer change hands. Where claims decide role or tier they do so at every login, and a change
ends the user's other sessions like any other change.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from common.clock import Clock
from common.contracts.snapshots import UserSessions
from common.contracts.topology import SESSIONS_BUCKET
from common.errors import Conflict, Forbidden, NotFound, Unauthorized
from common.ids import uuid7
from common.postgres.outbox import add, snapshot
from common.postgres.pool import Connection, Pool
from common.secret import Secret

from keyvault.domain.accounts import User
from keyvault.domain.actors import Actor
from keyvault.domain.audit import Act
from keyvault.domain.login_intents import LoginIntent, LoginNotBegun, begun, read_intent, signed
from keyvault.domain.oidc import (
    ClaimRules,
    Identity,
    OidcClient,
    UnknownSigningKey,
    identity_of,
    verified_id_token,
    verified_logout_token,
    with_query,
)
from keyvault.domain.passwords import NOBODYS_HASH
from keyvault.domain.tokens import Session, TokenSigner
from keyvault.flows.accounts import EmailTaken, SignupClosed
from keyvault.flows.audit_trail import record
from keyvault.flows.throttle import Throttle
from keyvault.flows.users import Users
from keyvault.sources.issuer import IssuedTokens, Issuer, IssuerAway
from keyvault.store import identities, users

_WINDOW_SECONDS = 600.0
_LOGINS_AN_ADDRESS = 300
"""Those that came back from the issuer: each leaves a row until its cookie runs out."""


class NoSingleSignOn(NotFound):
    """No issuer is set."""


class LoginRefused(Unauthorized):
    """The issuer sent somebody back without a code."""


class AccountDisabled(Forbidden):
    """The identity opens an account that is disabled."""


class LinkedElsewhere(Conflict):
    """This identity opens another account, or this account has another identity."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a browser brought back from the issuer. `issuer` is RFC 9207's `iss`."""

    state: str
    code: str | None
    error: str | None
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A login that ended well: where to go, and the session that began (None: an account was linked)."""

    return_to: str
    session: Session | None


@dataclass(frozen=True, slots=True)
class Trusted:
    """The issuer, who we are there, and what of its claims counts; `is_signup_open` for those whom we do not know."""

    issuer: Issuer
    client: OidcClient
    claims: ClaimRules
    is_signup_open: bool


class SingleSignOn:
    """The journeys through the issuer; NoSingleSignOn from each where none is set."""

    def __init__(
        self, pool: Pool, clock: Clock, signer: TokenSigner, users_flow: Users, trusted: Trusted | None
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._signer = signer
        self._users = users_flow
        self._set = trusted
        self._by_address = Throttle(clock, limit=_LOGINS_AN_ADDRESS, window_seconds=_WINDOW_SECONDS)

    @property
    def issuer_name(self) -> str | None:
        """The issuer that people may sign in with."""
        return self._set.client.issuer if self._set else None

    async def begin(self, return_to: str, link_user_id: str | None = None) -> tuple[str, Secret]:
        """Where to send a browser, and the cookie that it keeps meanwhile."""
        trusted = self._trusted()
        endpoint = (await trusted.issuer.metadata()).authorization_endpoint
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        intent = begun(state, nonce, verifier, return_to, link_user_id, self._clock.now())
        url = trusted.client.login_url(endpoint, state=intent.state, nonce=intent.nonce, challenge=intent.challenge)
        return url, signed(intent, self._signer)

    async def finish(self, answered: Answered, cookie: str, present_user_id: str | None, origin: str | None) -> Ended:
        """Sign in, or link the account that is signed in. LoginNotBegun, LoginRefused, CodeRefused, InvalidIdToken,
        IdentityRefused, AccountDisabled, EmailTaken, LinkedElsewhere, IssuerAway, TooManyAttempts."""
        trusted = self._trusted()
        intent = read_intent(cookie, self._signer, self._clock.now())
        if not intent.is_answered_by(answered.state) or intent.link_user_id not in (None, present_user_id):
            raise LoginNotBegun("the answer belongs to another login: begin again")
        self._by_address.check(origin or "")
        self._by_address.note(origin or "")
        await self._spend(intent)
        identity = await self._identity(trusted, intent, await self._code_of(trusted, answered))
        if intent.link_user_id is not None:
            await self._link(identity, Actor(intent.link_user_id, origin=origin))
            return Ended(intent.return_to, None)
        return Ended(intent.return_to, await self._sign_in(trusted, identity, origin))

    async def unlink(self, by: Actor) -> None:
        """Let the issuer open one's account no more. Conflict where nothing else does, NotFound where it does not."""
        issuer = self._trusted().client.issuer
        async with self._pool.acquire() as connection, connection.transaction():
            user = await users.lock(connection, by.id)
            if user is not None and user.password_hash == NOBODYS_HASH:
                raise Conflict("this account has no password: it can be opened by the identity provider only")
            if not await identities.remove(connection, issuer, by.id):
                raise NotFound("this account is not linked")
            await record(connection, Act(by, "user.unlinked", by.id, {"issuer": issuer}), self._clock.now())

    async def end_by_issuer(self, logout_token: str) -> int:
        """End all sessions of whom the issuer says (back-channel logout); the outbox row that tells everybody."""
        trusted = self._trusted()
        client = trusted.client
        try:
            subject = verified_logout_token(logout_token, await trusted.issuer.keys(), client)
        except UnknownSigningKey:
            subject = verified_logout_token(logout_token, await trusted.issuer.keys(is_one_missing=True), client)
        now = self._clock.now()
        async with self._pool.acquire() as connection, connection.transaction():
            user_id = await identities.user_of(connection, client.issuer, subject)
            user = await users.lock(connection, user_id) if user_id else None
            if user is None:
                return 0
            await users.end_sessions(connection, user.id, now)
            await record(connection, Act(Actor(f"oidc:{client.issuer}"), "user.logged_out", user.id), now)
            state = UserSessions(not_before=now)
            return await add(connection, [snapshot(SESSIONS_BUCKET.name, f"user.{user.id}", state)])

    async def logout_url(self) -> str | None:
        """Where a browser ends its session with the issuer, too; None where it offers that nowhere, or is away: then
        only ours has ended."""
        if self._set is None:
            return None
        try:
            endpoint = (await self._set.issuer.metadata()).end_session_endpoint
        except IssuerAway:
            return None
        return with_query(endpoint, {"client_id": self._set.client.client_id}) if endpoint else None

    def _trusted(self) -> Trusted:
        if self._set is None:
            raise NoSingleSignOn("single sign-on is not set up")
        return self._set

    async def _spend(self, intent: LoginIntent) -> None:
        async with self._pool.acquire() as connection:
            if not await identities.end_login(connection, intent.state_hash, intent.expires_at):
                raise LoginNotBegun("this login has ended: begin again")

    async def _code_of(self, trusted: Trusted, answered: Answered) -> str:
        names_itself = (await trusted.issuer.metadata()).names_itself
        if answered.issuer != trusted.client.issuer and (names_itself or answered.issuer is not None):
            raise LoginNotBegun("the answer comes from another identity provider: begin again")
        if not answered.code or answered.error:
            raise LoginRefused("the identity provider did not sign you in")
        return answered.code

    async def _identity(self, trusted: Trusted, intent: LoginIntent, code: str) -> Identity:
        """Whom a code names, once its ID token has been checked."""
        tokens = await trusted.issuer.exchange(code, intent.verifier)
        keys, expected = await trusted.issuer.keys(), (trusted.client, intent.nonce, tokens.access_token)
        try:
            claims = verified_id_token(tokens.id_token, keys, *expected)
        except UnknownSigningKey:
            keys = await trusted.issuer.keys(is_one_missing=True)
            claims = verified_id_token(tokens.id_token, keys, *expected)
        return identity_of(await self._completed(trusted, tokens, claims), trusted.claims)

    async def _completed(self, trusted: Trusted, tokens: IssuedTokens, claims: dict[str, object]) -> dict[str, object]:
        """Claims with those that the issuer keeps for its userinfo endpoint, where some that count are missing."""
        missing = [name for name in trusted.claims.wanted if name.split(".")[0] not in claims and name not in claims]
        if not missing or tokens.access_token is None:
            return claims
        more = await trusted.issuer.claims_about(tokens.access_token)
        return {**more, **claims} if more.get("sub") == claims["sub"] else claims

    async def _sign_in(self, trusted: Trusted, identity: Identity, origin: str | None) -> Session:
        async with self._pool.acquire() as connection:
            user_id = await identities.user_of(connection, identity.issuer, identity.subject)
        if user_id is None:
            return await self._first_session(trusted, identity, origin)
        told = {name: value for name, value in (("role", identity.role), ("tier", identity.tier)) if value is not None}
        await self._users.change_standing(Actor(f"oidc:{identity.issuer}", origin=origin), user_id, told)
        async with self._pool.acquire() as connection, connection.transaction():
            user = await users.hold(connection, user_id)
            if user is None or not user.enabled:
                raise AccountDisabled("this account is disabled")
            now = self._clock.now()
            await identities.note_login(connection, identity.issuer, identity.subject, now)
            return self._signer.sign(user, uuid7(), now)

    async def _first_session(self, trusted: Trusted, identity: Identity, origin: str | None) -> Session:
        """Make the account of somebody whom only the issuer knows."""
        if not trusted.is_signup_open:
            raise SignupClosed("there is no account for you here, and none is made")
        now = self._clock.now()
        role, tier = identity.role or "user", identity.tier or "trial"
        email = identity.email(trusted.claims)
        user = User(uuid7(), email, identity.name, NOBODYS_HASH, role, tier, True, now, now)
        async with self._pool.acquire() as connection, connection.transaction():
            if not await users.insert(connection, user):
                raise EmailTaken("there is an account with your address: sign in with its password and link it")
            await self._open_with(connection, identity, user.id)
            detail = {"role": role, "tier": tier, "issuer": identity.issuer}
            await record(connection, Act(Actor(user.id, origin=origin), "user.created", user.id, detail), now)
        return self._signer.sign(user, uuid7(), now)

    async def _link(self, identity: Identity, by: Actor) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            await self._open_with(connection, identity, by.id)
            act = Act(by, "user.linked", by.id, {"issuer": identity.issuer})
            await record(connection, act, self._clock.now())

    async def _open_with(self, connection: Connection, identity: Identity, user_id: str) -> None:
        if not await identities.insert(connection, identity.issuer, identity.subject, user_id, self._clock.now()):
            raise LinkedElsewhere("this identity opens another account, or this account has another identity")
