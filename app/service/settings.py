"""The service's settings, read from the environment once, at start."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# Names with this prefix belong to the service alone, so an unknown one is a misspelled limit.
OWN_PREFIX = "CACHE_"

T = TypeVar("T")


class SettingsError(ValueError):
    """The environment holds settings that the service cannot run with; its text lists every one of them."""


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"Must name a readable file ({error.strerror})") from None
    return path


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


ReadableFile = Annotated[Path, AfterValidator(_readable)]
Port = Annotated[int, Field(ge=1, le=65535)]
CommaSeparated = (NoDecode, BeforeValidator(_split))
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class Settings(BaseSettings):
    """Every knob of the service.

    A field's name in capitals is its environment variable; an empty value counts as unset.
    """

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    app_name: str = Field("hotstack", max_length=100)
    greeting: str = Field("Hello", max_length=1000)
    pod_name: str = Field(default_factory=socket.gethostname)
    api_token_file: ReadableFile | None = None

    redis_host: str = "redis-service"
    redis_port: int = Field(6379, ge=1, le=65535)
    redis_password_file: ReadableFile | None = Field(None, description="Read at every connect: no file, no password.")

    postgres_host: str | None = Field(None, description="Where writes go; without it there is no database.")
    postgres_port: Port = 9999
    postgres_read_hosts: Annotated[tuple[str, ...], *CommaSeparated] = Field(
        (), description="Where reads go, tried in this order at every connect; empty for the way that writes go."
    )
    postgres_read_ports: Annotated[tuple[Port, ...], *CommaSeparated] = Field((), validate_default=True)
    postgres_database: str | None = Field(None, validate_default=True)
    postgres_username_file: ReadableFile | None = Field(None, validate_default=True)
    postgres_password_file: ReadableFile | None = Field(None, description="Both files are read at every connect.")
    postgres_ca_file: ReadableFile | None = Field(None, description="The certificate that signed the servers'.")
    postgres_sslmode: SslMode | None = Field(None, description="As libpq's; verify-full where a CA is given.")
    postgres_pool_size: int = Field(8, ge=1, le=100, description="Most connections of a pool: one writes, one reads.")
    migrate_timeout_seconds: int = Field(120, ge=1, le=3600, description="How long a migration waits its turn.")

    cache_max_ttl: int = Field(86_400, ge=1, le=31_536_000, description="Longest time to live, seconds.")
    cache_default_ttl: int = Field(3600, ge=1, description="Seconds, where a PUT names none.")
    cache_max_value_bytes: int = Field(1_048_576, ge=1, le=67_108_864, description="Largest value, bytes.")

    @field_validator("postgres_read_ports")
    @classmethod
    def _one_for_each_host(cls, ports: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        hosts = len(info.data.get("postgres_read_hosts", ports))
        if len(ports) != hosts:
            raise ValueError(f"Should be one for each of POSTGRES_READ_HOSTS: {hosts}, not {len(ports)}")
        return ports

    @field_validator("postgres_database", "postgres_username_file")
    @classmethod
    def _needed_with_a_host(cls, value: T, info: ValidationInfo) -> T:
        if value is None and info.data.get("postgres_host") is not None:
            raise ValueError("Is needed where POSTGRES_HOST is set")
        return value

    @field_validator("postgres_sslmode")
    @classmethod
    def _has_what_it_verifies_by(cls, mode: SslMode | None, info: ValidationInfo) -> SslMode | None:
        if mode in {"verify-ca", "verify-full"} and info.data.get("postgres_ca_file", mode) is None:
            raise ValueError("Needs POSTGRES_CA_FILE")
        return mode

    @field_validator("cache_default_ttl")
    @classmethod
    def _within_the_longest(cls, ttl: int, info: ValidationInfo) -> int:
        longest = info.data.get("cache_max_ttl")  # absent when it is itself wrong, which is reported by then
        if longest is not None and ttl > longest:
            raise ValueError(f"Should be at most CACHE_MAX_TTL, which is {longest}")
        return ttl


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the process's environment.

    Raises:
        SettingsError: a value is wrong or a name unknown. Values are not repeated in it, because a secret may have
            been put into the wrong variable.

    """
    problems = [
        f"{name}: No such setting"
        for name in sorted(environment)
        if name.startswith(OWN_PREFIX) and name.lower() not in Settings.model_fields
    ]
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
    if problems:
        raise SettingsError("\n  ".join(["the service cannot start with this environment:", *problems]))
    return settings
