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


async def services(request: Request) -> Services:
    """The services of this application."""
    return cast("Services", request.app.state.services)


async def principal(
    request: Request, _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal:
    """Who is asking."""
    authenticator = cast("Authenticator", request.app.state.authenticator)
    return authenticator.authenticate(request.headers.get("authorization"))


ServicesDep = Annotated[Services, Depends(services)]
PrincipalDep = Annotated[Principal, Depends(principal)]
