"""Dependencies: what endpoints take, as annotated aliases."""

from typing import Annotated, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.api.auth import Authenticator
from app.bootstrap import Services
from app.domain.principal import Principal

_bearer = HTTPBearer(
    auto_error=False, description="An API key of FOOTNOTE_API_KEYS; not needed on loopback without keys."
)
_Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


async def services(request: Request) -> Services:
    """The services of this application."""
    return cast("Services", request.app.state.services)


async def principal(request: Request, _documented: _Bearer) -> Principal:
    """Who is asking; a visitor is refused."""
    return _authenticator(request).authenticate(request.headers.get("authorization"))


async def visitor(request: Request, _documented: _Bearer) -> Principal:
    """Who is asking, a visitor or not; what a visitor must not see is for the endpoint to keep."""
    return _authenticator(request).authenticate(request.headers.get("authorization"), visitors=True)


def _authenticator(request: Request) -> Authenticator:
    return cast("Authenticator", request.app.state.authenticator)


ServicesDep = Annotated[Services, Depends(services)]
PrincipalDep = Annotated[Principal, Depends(principal)]
VisitorDep = Annotated[Principal, Depends(visitor)]
