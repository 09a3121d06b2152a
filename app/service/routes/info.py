"""What answers: name, version, pod, and what its configuration gave it."""

from fastapi import APIRouter
from pydantic import BaseModel

from service import __version__
from service.settings import Settings


class ServiceInfo(BaseModel):
    """The answer of `GET /`."""

    name: str
    version: str
    pod: str
    greeting: str
    secret_configured: bool


def info_routes(settings: Settings) -> APIRouter:
    """Return the router of `GET /`."""
    router = APIRouter(tags=["info"])

    @router.get("/")
    async def info() -> ServiceInfo:
        """Tell which pod of which version answers, and whether it has its secret (never what that is)."""
        return ServiceInfo(
            name=settings.app_name,
            version=__version__,
            pod=settings.pod_name,
            greeting=settings.greeting,
            secret_configured=_has_secret(settings),
        )

    return router


def _has_secret(settings: Settings) -> bool:
    try:
        return settings.api_token_file is not None and settings.api_token_file.stat().st_size > 0
    except OSError:
        return False
