"""The settings of a guard: what is missing or wrong is said, and the secret is never repeated."""

from pathlib import Path

import pytest

from pytp_broker.guards.settings import Settings, SettingsError

SECRET = "a-long-random-secret"
GOOD = {
    "PYTP_GUARD_REGISTRY": "https://packages.example.com/acme/",
    "PYTP_GUARD_CLIENT": "devpi",
    "PYTP_GUARD_SECRET": SECRET,
}


def test_a_guard_reads_its_settings_from_the_environment() -> None:
    settings = Settings.read(GOOD)

    assert settings.registry_url == "https://packages.example.com/acme"
    assert settings.client_id == "devpi"
    assert settings.secret.reveal() == SECRET
    assert settings.is_public is False
    assert settings.max_file_bytes == 2**30
    assert SECRET not in repr(settings)


def test_the_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    variables = {**GOOD, "PYTP_GUARD_SECRET_FILE": str(tmp_path / "secret")}
    del variables["PYTP_GUARD_SECRET"]

    assert Settings.read(variables).secret.reveal() == SECRET


def test_a_guard_may_serve_everybody() -> None:
    assert Settings.read({**GOOD, "PYTP_GUARD_READS": "public"}).is_public is True


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("PYTP_GUARD_REGISTRY", "", "not set"),
        ("PYTP_GUARD_REGISTRY", "http://packages.example.com/acme/", "https address"),
        ("PYTP_GUARD_REGISTRY", "https://user:secret@example.com/", "https address"),
        ("PYTP_GUARD_REGISTRY", "https://example.com/?a=b", "https address"),
        ("PYTP_GUARD_REGISTRY", "https://example.com/#a", "https address"),
        ("PYTP_GUARD_REGISTRY", "https:///acme", "https address"),
        ("PYTP_GUARD_REGISTRY", "https://[::1/", "https address"),
        ("PYTP_GUARD_CLIENT", "", "not set"),
        ("PYTP_GUARD_CLIENT", "a:b", "`a:b`"),
        ("PYTP_GUARD_SECRET", "short", "must hold the secret alone"),
        ("PYTP_GUARD_SECRET", "two words are not a secret", "must hold the secret alone"),
        ("PYTP_GUARD_SECRET_FILE", "/dev/null", "set either"),
        ("PYTP_GUARD_READS", "Private", "`private` or `public`"),
        ("PYTP_GUARD_MAX_FILE_SIZE", "1 elephant", "such as `1 GiB`"),
    ],
)
def test_a_setting_that_is_wrong_is_named(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.read({**GOOD, name: text})

    assert name in str(refused.value)
    assert said in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_a_file_without_a_secret_is_refused(tmp_path: Path) -> None:
    variables = {name: text for name, text in GOOD.items() if name != "PYTP_GUARD_SECRET"}

    with pytest.raises(SettingsError, match="set either"):
        Settings.read(variables)
    with pytest.raises(SettingsError, match=r"cannot be read \(FileNotFoundError\)"):
        Settings.read({**variables, "PYTP_GUARD_SECRET_FILE": str(tmp_path / "missing")})
