"""From the options of a connection to its settings."""

from __future__ import annotations

import getpass
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from async_backup.cli.execute import ended_by_first_signal
from async_backup.config import Destination, SshSettings
from async_backup.errors import SettingsError
from async_backup.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def destination_of(text: str, port: int | None) -> Destination:
    """The destination; raises SettingsError where `--port` and the address contradict each other."""
    destination = Destination.parse(text)
    if port is None:
        return destination
    if destination.port not in {None, port}:
        raise SettingsError(f"--port {port} contradicts the port in {text}")
    return replace(destination, port=port)


def ssh_settings(
    keys: Sequence[Path] | None, known_hosts: Path | None, ssh_config: Path | None, timeout: float
) -> SshSettings:
    """How to connect; on a terminal a passphrase is asked for."""
    return SshSettings(tuple(keys or ()), known_hosts, ssh_config, timeout, _passphrase_prompt())


def _passphrase_prompt() -> Callable[[Path], str] | None:
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    asked: set[Path] = set()

    def ask(path: Path) -> str:
        again = "That was not it. " if path in asked else ""
        asked.add(path)
        with ended_by_first_signal():
            return getpass.getpass(f"{again}Passphrase for the key {shown(path)}: ")

    return ask
