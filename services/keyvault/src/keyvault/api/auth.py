"""`/api/auth`: signing up, in and out, and who one is."""

from __future__ import annotations

from typing import Annotated, Literal

from common.contracts.snapshots import AccountTier, Role
from common.errors import TollgateError
from common.http.sessions import COOKIE, Caller, check_origin, current_caller, origin_of
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from keyvault.api.answers import AnswersWhenTold, Asked, ByUser, Journeys, services_of
from keyvault.domain.accounts import MAX_EMAIL_CHARACTERS, MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS
from keyvault.domain.tokens import SESSION_SECONDS, Session

router = APIRouter(prefix="/api/auth", tags=["accounts"])

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class SignUp(Asked):
    """A new account."""

    email: str = Field(max_length=MAX_EMAIL_CHARACTERS)
    password: str = Field(min_length=MIN_PASSWORD_CHARACTERS, max_length=MAX_PASSWORD_CHARACTERS)
    name: str = Field(default="", max_length=200, pattern=r"^[^\x00]*$")


class LogIn(Asked):
    """An account and its password."""

    email: str = Field(max_length=MAX_EMAIL_CHARACTERS)
    password: str = Field(max_length=MAX_PASSWORD_CHARACTERS)


class ChangePassword(Asked):
    """The present password and the next."""

    current_password: str = Field(max_length=MAX_PASSWORD_CHARACTERS)
    new_password: str = Field(min_length=MIN_PASSWORD_CHARACTERS, max_length=MAX_PASSWORD_CHARACTERS)


class SessionBegun(BaseModel):
    """A session's token, good for 12 hours."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, not a secret
    user_id: str


class Me(BaseModel):
    """The account of a session."""

    id: str
    email: str
    name: str
    role: Role
    tier: AccountTier


@router.post("/signup", status_code=201)
async def sign_up(body: SignUp, request: Request, keyvault: Journeys) -> SessionBegun:
    """Make an account (tier trial) where sign-up is open, and begin a session."""
    session = await keyvault.accounts.sign_up(body.email, body.password, body.name, origin_of(request))
    return _begun(session)


@router.post("/login")
async def log_in(body: LogIn, request: Request, response: Response, keyvault: Journeys) -> SessionBegun:
    """Begin a session; its token also comes as a cookie."""
    check_origin(request)  # or a foreign page could sign a visitor in as somebody else
    logins = services_of(request).metrics.logins
    try:
        session = await keyvault.accounts.log_in(body.email, body.password, origin_of(request))
    except TollgateError as error:
        logins.labels(error.code).inc()
        raise
    logins.labels("ok").inc()
    set_session_cookie(response, session, request)
    return _begun(session)


@router.post("/password")
async def change_password(
    body: ChangePassword, request: Request, response: Response, by: ByUser, keyvault: Journeys, told: AnswersWhenTold
) -> SessionBegun:
    """Set another password; ends every session of the account and begins this one anew."""
    session, outbox_id = await keyvault.accounts.change_password(by, body.current_password, body.new_password)
    await told.wait(outbox_id)
    set_session_cookie(response, session, request)
    return _begun(session)


@router.post("/logout", status_code=204)
async def log_out(
    response: Response,
    request: Request,
    keyvault: Journeys,
    caller: Annotated[Caller, Depends(current_caller)],
    told: AnswersWhenTold,
) -> None:
    """End this session, everywhere."""
    await told.wait(await keyvault.accounts.log_out(caller.user_id, caller.token_id, caller.expires_at))
    clear_session_cookie(response, request)


@router.get("/me")
async def me(by: ByUser, keyvault: Journeys) -> Me:
    """The account that is signed in."""
    user = await keyvault.accounts.account(by.id)
    return Me(id=user.id, email=user.email, name=user.name, role=user.role, tier=user.tier)


def is_local(request: Request) -> bool:
    """Whether a browser reaches us as this machine itself, where a cookie cannot ask for https."""
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return name.lower() in _LOCAL_HOSTS


def clear_session_cookie(response: Response, request: Request) -> None:
    """Let a browser forget its session."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=not is_local(request))


def set_session_cookie(response: Response, session: Session, request: Request) -> None:
    """Let a browser keep a session."""
    response.set_cookie(
        COOKIE,
        session.token.reveal(),
        max_age=SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="lax",
        secure=not is_local(request),
    )


def _begun(session: Session) -> SessionBegun:
    return SessionBegun(access_token=session.token.reveal(), user_id=session.user_id)
