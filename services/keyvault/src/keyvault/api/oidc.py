"""`/api/auth/oidc`: signing in with the OpenID Connect issuer, linking an account to it, and out again.

The login is a walk of the browser: `login` sends it to the issuer, which sends it back to `callback`, which begins the
session (the cookie of `/api/auth/login`) and sends it on to a page of ours. Meanwhile it keeps a cookie of this login
alone, which no subdomain can plant where we are reached by https.
"""

from __future__ import annotations

from typing import Annotated

from common.errors import BadRequest, TollgateError, Unauthorized
from common.http.sessions import COOKIE, Caller, current_caller, origin_of
from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from keyvault.api.answers import AnswersWhenTold, Asked, ByUser, Journeys, services_of
from keyvault.api.auth import clear_session_cookie, is_local, set_session_cookie
from keyvault.domain.login_intents import INTENT_SECONDS, MAX_RETURN_CHARACTERS
from keyvault.domain.oidc import MAX_TOKEN_CHARACTERS
from keyvault.flows.single_sign_on import Answered

router = APIRouter(prefix="/api/auth/oidc", tags=["accounts"])

_INTENT_COOKIE = "oidc_login"
_MAX_ANSWER_CHARACTERS = 4096
_Returned = Annotated[str | None, Query(max_length=_MAX_ANSWER_CHARACTERS)]


class Offered(BaseModel):
    """Whether people can sign in with an issuer, and with which."""

    enabled: bool
    issuer: str | None


class Linking(Asked):
    """Where to go once the account is linked: a path of ours."""

    return_to: str = "/"


class Elsewhere(BaseModel):
    """Where the browser goes next; null: nowhere."""

    url: str | None


@router.get("")
async def offered(keyvault: Journeys) -> Offered:
    """Whether single sign-on is set up."""
    issuer = keyvault.single_sign_on.issuer_name
    return Offered(enabled=issuer is not None, issuer=issuer)


@router.get("/login", status_code=303, response_class=RedirectResponse)
async def log_in(
    request: Request, keyvault: Journeys, return_to: Annotated[str, Query(max_length=MAX_RETURN_CHARACTERS)] = "/"
) -> RedirectResponse:
    """Go to the issuer to sign in."""
    url, cookie = await keyvault.single_sign_on.begin(return_to)
    response = RedirectResponse(url, 303)
    _keep(response, cookie.reveal(), request)
    return response


@router.get("/callback", status_code=303, response_class=RedirectResponse)
async def come_back(
    request: Request,
    keyvault: Journeys,
    state: Annotated[str, Query(max_length=_MAX_ANSWER_CHARACTERS)] = "",
    code: _Returned = None,
    error: _Returned = None,
    iss: _Returned = None,
) -> RedirectResponse:
    """Come back from the issuer: begins a session, or links the account that is signed in."""
    cookie = request.cookies.get(_cookie_name(request), "")
    answered = Answered(state, code, error, iss)
    logins = services_of(request).metrics.logins
    try:
        ended = await keyvault.single_sign_on.finish(answered, cookie, _present_user_id(request), origin_of(request))
    except TollgateError as refused:
        logins.labels(refused.code).inc()
        raise
    response = RedirectResponse(ended.return_to, 303)
    if ended.session is not None:
        logins.labels("ok").inc()
        set_session_cookie(response, ended.session, request)
    _drop(response, request)
    return response


@router.post("/link")
async def link(body: Linking, request: Request, response: Response, by: ByUser, keyvault: Journeys) -> Elsewhere:
    """Let the issuer open the account that is signed in: the browser goes to `url` next."""
    url, cookie = await keyvault.single_sign_on.begin(body.return_to, by.id)
    _keep(response, cookie.reveal(), request)
    return Elsewhere(url=url)


@router.delete("/link", status_code=204)
async def unlink(by: ByUser, keyvault: Journeys) -> None:
    """Let the issuer open the account no more."""
    await keyvault.single_sign_on.unlink(by)


@router.post("/logout")
async def log_out(
    request: Request,
    response: Response,
    keyvault: Journeys,
    caller: Annotated[Caller, Depends(current_caller)],
    told: AnswersWhenTold,
) -> Elsewhere:
    """End this session, everywhere; the browser ends the issuer's at `url`."""
    await told.wait(await keyvault.accounts.log_out(caller.user_id, caller.token_id, caller.expires_at))
    clear_session_cookie(response, request)
    return Elsewhere(url=await keyvault.single_sign_on.logout_url())


@router.post("/backchannel-logout")
async def log_out_by_issuer(
    response: Response,
    keyvault: Journeys,
    told: AnswersWhenTold,
    logout_token: Annotated[str, Form(max_length=MAX_TOKEN_CHARACTERS)],
) -> None:
    """The issuer ends somebody's sessions (OpenID Connect Back-Channel Logout): its signed token says whose."""
    response.headers["cache-control"] = "no-store"
    try:
        outbox_id = await keyvault.single_sign_on.end_by_issuer(logout_token)
    except Unauthorized as error:
        raise BadRequest(error.message) from error  # as its specification has it
    await told.wait(outbox_id)


def _present_user_id(request: Request) -> str | None:
    """Who is signed in by cookie in the browser that came back."""
    try:
        caller: Caller = request.app.state.sessions.verify(request.cookies.get(COOKIE, ""))
    except Unauthorized:
        return None
    return caller.user_id


def _cookie_name(request: Request) -> str:
    return _INTENT_COOKIE if is_local(request) else f"__Host-{_INTENT_COOKIE}"


def _keep(response: Response, value: str, request: Request) -> None:
    is_secure = not is_local(request)
    response.set_cookie(
        _cookie_name(request), value, INTENT_SECONDS, path="/", httponly=True, samesite="lax", secure=is_secure
    )
    response.headers["cache-control"] = "no-store"


def _drop(response: Response, request: Request) -> None:
    is_secure = not is_local(request)
    response.delete_cookie(_cookie_name(request), path="/", httponly=True, samesite="lax", secure=is_secure)
    response.headers["cache-control"] = "no-store"
