"""A bucket that exists already, outside of the stack."""

from pydantic import Field

from components.endpoints import S3Endpoint, SecretKey
from components.model import DnsLabel, Settings


class BucketSettings(Settings):
    """An S3 bucket that somebody else keeps, and the Secret with the keys that open it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Name of the bucket.")
    url: str | None = Field(
        default=None, pattern=r"^https?://[^\s/]+/?$", description="The server; Amazon's own when not set."
    )
    region: str = Field(default="us-east-1", min_length=1, description="What requests are signed for.")
    secret_name: DnsLabel = Field(description="A Secret in the stack's namespace, which you make.")
    access_key_id_key: str = Field(default="ACCESS_KEY_ID", min_length=1, description="Its key with the key's id.")
    secret_access_key_key: str = Field(
        default="SECRET_ACCESS_KEY", min_length=1, description="Its key with the key itself."
    )


def existing_bucket(settings: BucketSettings) -> S3Endpoint:
    """The endpoint of a bucket that exists."""
    return S3Endpoint(
        url=settings.url,
        bucket=settings.name,
        region=settings.region,
        access_key_id=SecretKey(name=settings.secret_name, key=settings.access_key_id_key),
        secret_access_key=SecretKey(name=settings.secret_name, key=settings.secret_access_key_key),
        client_label=None,
        workloads=(),
    )
