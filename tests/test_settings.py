"""Settings: arguments before the environment, that before files, that before defaults; and nothing secret is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lapel.apps.cli import app
from lapel.core.errors import InputError
from lapel.core.settings import Settings, cache_path, config_path, described, settings


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own working folder and user's folder, and none of this machine's settings."""
    for name in (*(f"LAPEL_{each.upper()}" for each in Settings.model_fields), "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (tmp_path / "config" / "lapel").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_nearer_source_counts(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().per_host == 8
    (away / "config" / "lapel" / "lapel.toml").write_text("per_host = 1\ncache_gb = 1\nallow_hosts = ['cdn.local']")
    assert (settings().per_host, settings().cache_gb, settings().allow_hosts) == (1, 1, ("cdn.local",))
    (away / "lapel.toml").write_text("per_host = 2")
    assert (settings().per_host, settings().cache_gb) == (2, 1)
    monkeypatch.setenv("LAPEL_PER_HOST", "3")
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "a.local, 10.0.0.5,")
    assert (settings().per_host, settings().allow_hosts) == (3, ("a.local", "10.0.0.5"))
    assert Settings(per_host=4).per_host == 4
    assert {row.name: row.origin for row in described() if row.origin != "default"} == {
        "per_host": "environment",
        "allow_hosts": "environment",
        "cache_gb": str(away / "config" / "lapel" / "lapel.toml"),
        **{name: "environment" for name in ("ssl_cert_file", "ssl_cert_dir") if getattr(settings(), name)},
    }


def test_they_are_read_once_and_again_when_something_changes(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings()
    assert settings() is first
    monkeypatch.setenv("LAPEL_CACHE", "elsewhere")
    assert settings().cache == Path("elsewhere")
    monkeypatch.setenv("LAPEL_CACHE", "")  # as if it were not set
    assert settings().cache == first.cache == away / "caches" / "lapel" / "pictures"


def test_folders_of_an_earlier_version_are_found(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: away / "new")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: away / "new")
    assert (cache_path("pictures"), config_path("drive.json")) == (away / "new/pictures", away / "new/drive.json")
    old = away / "caches" / "lapel" / "pictures"
    old.mkdir(parents=True)
    (away / "config" / "lapel" / "drive.json").touch()
    assert (cache_path("pictures"), config_path("drive.json")) == (old, away / "config/lapel/drive.json")
    (away / "new" / "pictures").mkdir(parents=True)
    assert cache_path("pictures") == away / "new" / "pictures"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LAPEL_CACHE_GB", "nan", "LAPEL_CACHE_GB is a number of GB above zero, such as 4; found 'nan'."),
        ("LAPEL_PER_HOST", "0", "LAPEL_PER_HOST is a number of requests at once, such as 8; found '0'."),
        ("LAPEL_PROXY", "yes", "LAPEL_PROXY is 'env', .* or is not set; found 'yes'."),
        ("LAPEL_ALLOW_PRIVATE_LINKS", "perhaps", "LAPEL_ALLOW_PRIVATE_LINKS is 1 or 0; found 'perhaps'."),
    ],
)
def test_a_wrong_value_says_what_is_right(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said):
        settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cachegb = 4", "names 'cachegb', which is no setting. There are: store, cache, cache_gb"),
        ("cache_gb 4", "cannot be read: Expected '='.* Write lines such as 'cache_gb = 4'"),
        ("drive_key = 5", "LAPEL_DRIVE_KEY is a text; found a secret"),
    ],
)
def test_a_wrong_file_is_named(away: Path, text: str, said: str) -> None:
    (away / "lapel.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        settings()


def test_the_command_lists_all_and_masks_secrets(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_DRIVE_KEY", "hush-1")
    (away / "lapel.toml").write_text('milvus_token = "hush-2"\nstore = "my shop"')
    for words in (["settings"], ["settings", "--json"]):
        said = CliRunner().invoke(app, words)
        assert said.exit_code == 0, said.output
        assert "hush" not in said.output
    rows = {row["name"]: row for row in json.loads(said.stdout)}
    assert list(rows) == list(Settings.model_fields)
    assert all(row["meaning"].endswith(".") for row in rows.values())
    assert (rows["drive_key"]["value"], rows["drive_key"]["origin"]) == ("*" * 10, "environment")
    assert (rows["milvus_token"]["value"], rows["milvus_token"]["origin"]) == ("*" * 10, "lapel.toml")
    assert rows["google_credentials"]["variable"] == "GOOGLE_APPLICATION_CREDENTIALS"
    nothing = CliRunner().invoke(app, ["info"])
    assert "my shop" in str(nothing.exception)  # a command's store may be named in a file too


def test_importing_lapel_reads_no_settings() -> None:
    code = "import lapel, lapel.apps.cli, sys; print([name for name in sys.modules if name.startswith('pydantic')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
