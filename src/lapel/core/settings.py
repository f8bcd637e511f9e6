"""Every setting of a process: arguments come before the environment, that before a file, that before the default.

The file is ``lapel.toml`` in the working folder or in the user's folder for settings, with the names below:

    cache_gb = 20
    allow_hosts = ["cdn.local"]

What other programs define is left to them: ``HTTP_PROXY`` and its like, ``AWS_*``, ``AZURE_*`` and ``STORAGE_*`` of the
clouds' libraries, ``RANK`` and its like of ``torchrun``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from lapel.core.errors import InputError

FILE = "lapel.toml"
PREFIX = "LAPEL_"
FORMER_COLOUR = f"{PREFIX}COLOUR"  # until this version, of what is colour_weight now
DRIVE_IMAGE = "https://drive.google.com/thumbnail?id={id}&sz="

FilePath = Annotated[Path, AfterValidator(Path.expanduser)]


def _setting(default: Any, meaning: str, expected: str = "a text", *, variable: str = "", **rules: Any) -> Any:
    """A field: its default or what makes it, its meaning, what a value must be, and its variable if it is not Lapel's
    own."""
    rules |= {"default_factory" if callable(default) else "default": default}
    rules |= {"validation_alias": variable} if variable else {}
    return Field(description=meaning, title=expected, **rules)


def config_path(name: str) -> Path:
    """A file in the user's folder for settings; where an earlier version put it, if it is only there."""
    return _found(platformdirs.user_config_path("lapel", appauthor=False) / name, "XDG_CONFIG_HOME", ".config", name)


def cache_path(name: str) -> Path:
    """The same in the user's folder for what can be fetched again."""
    return _found(platformdirs.user_cache_path("lapel", appauthor=False) / name, "XDG_CACHE_HOME", ".cache", name)


def _found(path: Path, variable: str, folder: str, name: str) -> Path:
    before = Path(os.environ.get(variable, "") or Path.home() / folder) / "lapel" / name
    return before if before.exists() and not path.exists() else path


class Settings(BaseSettings):
    """All settings; ``lapel settings`` lists them with their meaning. Each is read from ``LAPEL_<NAME>``, but for those
    with a variable that other programs define.

    >>> Settings(cache_gb=0.5).cache_gb
    0.5
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, populate_by_name=True
    )

    store: FilePath = _setting(Path("shop"), "The shop folder that commands work on.", "a folder")
    cache: FilePath = _setting(
        lambda: cache_path("pictures"), "Where image files that came over a network are kept for a while.", "a folder"
    )
    cache_gb: float = _setting(
        4.0,  # 47,000 shop photos of 20 KB have 1 GB
        "The most that is kept there, in GB (2^30 bytes).",
        "a number of GB above zero, such as 4",
        gt=0,
        allow_inf_nan=False,
    )
    colour_weight: float = _setting(
        1.0,
        "How much the colours of a photo that is searched with count beside its vector; 0 ranks by the vector alone.",
        "a number from 0 to 1, such as 0.5",
        ge=0,
        le=1,
    )
    per_host: int = _setting(
        8, "Requests under way at once to one host of links.", "a number of requests at once, such as 8", ge=1
    )
    allow_hosts: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Hosts of links that may have private addresses, with commas.",
        "names of hosts with commas, such as cdn.local,10.0.0.5",
    )
    allow_private_links: bool = _setting(
        False, "Links in the page and in 'lapel media check' may lead into this machine's own network.", "1 or 0"
    )
    proxy: Literal["", "env"] = _setting(
        "",
        "'env' to fetch links through the proxies that HTTP_PROXY and its like name.",
        "'env', to use HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or is not set",
    )
    ssl_cert_file: str = _setting("", "Certificates to trust: a PEM file.", variable="SSL_CERT_FILE")
    ssl_cert_dir: str = _setting("", "Certificates to trust: a folder.", variable="SSL_CERT_DIR")
    bucket_link: str = _setting("", "Where a browser gets a bucket's photos: a link with {bucket} and {key}.")
    google_credentials: FilePath | None = _setting(
        None,
        "The key file of a service account, or of a login, for Google Drive.",
        "a file",
        variable="GOOGLE_APPLICATION_CREDENTIALS",
    )
    drive_key: SecretStr = _setting(
        SecretStr(""), "An API key for Google Drive: reads what everyone with the link may."
    )
    drive_endpoint: str = _setting("", "Another root of Google Drive's API, such as http://127.0.0.1:8000/.")
    drive_link: str = _setting(f"{DRIVE_IMAGE}w1600", "Where a browser gets a Drive photo: a link with {id}.")
    drive_thumbnail: str = _setting(f"{DRIVE_IMAGE}w400", "The same for a small image.")
    ui_password: SecretStr = _setting(SecretStr(""), "What 'lapel ui' asks of those who may manage and look.")
    ui_look_password: SecretStr = _setting(SecretStr(""), "What 'lapel ui' asks of those who may only look.")
    ui_user_header: str = _setting(
        "", "A header in which a proxy before 'lapel ui' says who asks, such as Remote-User."
    )
    ui_managers: Annotated[tuple[str, ...], NoDecode] = _setting(
        (), "Names in that header that may manage, with commas; others may look.", "names with commas"
    )
    ui_role: Literal["look", "manage"] = _setting(
        "manage", "What visitors of 'lapel ui' may do where it asks for nothing.", "'look' or 'manage'"
    )
    ui_hosts: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Hosts that 'lapel ui' answers to, with commas; all when it is empty.",
        "names of hosts with commas, such as shop.example,127.0.0.1",
    )
    milvus_token: SecretStr = _setting(SecretStr(""), "Who asks a Milvus server: user:password, or an API key.")

    @field_validator("allow_hosts", "ui_managers", "ui_hosts", mode="before")
    @classmethod
    def _with_commas(cls, value: Any) -> Any:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, files: pydantic-settings asks for the order."""
        given = (*sources, *named.values())
        return (*given[:2], TomlConfigSettingsSource(settings_cls, files()))


@dataclass(frozen=True)
class SettingRow:
    """One setting, for people.

    Attributes:
        name: As in a file.
        variable: The environment variable.
        value: What counts now; a secret is masked, what is not set is empty.
        origin: ``default``, ``environment``, or the file that it comes from.
        meaning: What it does.
    """

    name: str
    variable: str
    value: str
    origin: str
    meaning: str


def files() -> list[Path]:
    """Where settings are read from, those that count more last."""
    return [config_path(FILE), Path(FILE)]


def settings() -> Settings:
    """The settings of this process, read again only when its environment or a file has changed.

    Raises:
        InputError: a value cannot be used, or a file names what is no setting.
    """
    if os.environ.get(FORMER_COLOUR):
        raise InputError(f"{FORMER_COLOUR} is called {FORMER_COLOUR}_WEIGHT now. Rename the variable.")
    own = (
        *(PREFIX + name.upper() for name in Settings.model_fields),
        *_ALIASES.values(),
        "HOME",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
    )
    return _read(tuple(map(os.environ.get, own)), tuple(map(_changed, files())))


def described() -> list[SettingRow]:
    """Every setting with its value and where that comes from.

    Raises:
        InputError: as for :func:`settings`.
    """
    now = settings()
    contents = [(path, tomllib.loads(path.read_text("utf-8"))) for path in reversed(files()) if path.is_file()]
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(now, name)
        variable = _ALIASES.get(name, PREFIX + name.upper())
        named = (str(path) for path, content in contents if name in content or variable in content)
        origin = "environment" if os.environ.get(variable) else next(named, "default")
        text = ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        rows.append(SettingRow(name, variable, text, origin, str(field.description)))
    return rows


_ALIASES: Mapping[str, str] = {
    name: str(field.validation_alias) for name, field in Settings.model_fields.items() if field.validation_alias
}


def _changed(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=1)
def _read(*_: object) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        raise InputError(_explained(error.errors(include_url=False)[0])) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"The settings in {' or '.join(map(str, files()))} cannot be read: {error}. Write lines such as"
            f" 'cache_gb = 4', or move the file away."
        ) from error


def _explained(problem: Any) -> str:
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return (
            f"A settings file ({' or '.join(map(str, files()))}) names '{name}', which is no setting. There are:"
            f" {', '.join(Settings.model_fields)}."
        )
    own = next((field for field, alias in _ALIASES.items() if alias == name), name)
    field = Settings.model_fields[own]
    value = "a secret" if field.annotation is SecretStr else f"'{problem['input']}'"
    return f"{_ALIASES.get(own, PREFIX + own.upper())} is {field.title}; found {value}."
