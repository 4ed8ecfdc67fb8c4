"""What all tests share: the event loop, servers that live as long as a module, and no silent skips on CI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from async_backup.remote import retry
from tests.sshd import find_sshd
from tests.stores import calm_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sshd import Sshd

# How long anything takes says nothing here: the machine may be busy.
settings.register_profile(
    "calm",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
settings.load_profile("calm")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is tried again almost at once."""
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.02)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real OpenSSH server; without one on this machine the test is skipped, but never on CI."""
    need_sshd()
    with calm_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def need_sshd() -> None:
    if find_sshd() is not None:
        return
    if os.environ.get("CI"):
        pytest.fail("there is no sshd, and CI must not skip what needs one")
    pytest.skip("no sshd on this machine")
