"""From a profile of the configuration file to the job that a schedule starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_config_path, user_state_path

from async_backup.errors import SettingsError
from async_backup.profiles.reading import load
from async_backup.scheduling.model import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from async_backup.profiles.model import Value
    from async_backup.scheduling.model import When

_KEPT_VARIABLES = ("XDG_STATE_HOME",)
"""What would lead a scheduled run to other locks than one that is started by hand."""


def job_of(profile: str, config: Path | None, when: When, spread: int) -> Job:
    """The job of a profile; raises SettingsError where the file or the profile is not there."""
    file = _config_file(config)
    profiles = load(file)
    settings = profiles.resolved(profile)
    arguments = ("--profile", profile, "--config", str(file))
    commands = [(*_program(), "run", *arguments)]
    if any(key.startswith("keep-") for key in settings):
        commands.append((*_program(), "prune", *arguments))
    return Job(
        profile,
        tuple(commands),
        when,
        spread,
        reads=tuple(_paths(settings, "sources")) or (Path("/"),),
        writes=(user_state_path("async-backup"), *(path.parent for path in _paths(settings, "metrics", "report"))),
        has_hooks=bool(profiles.hooks(profile)),
        environment={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
    )


def _config_file(given: Path | None) -> Path:
    """The file that is named, or the first that is there; an absolute path."""
    usual = (user_config_path("async-backup") / "config.toml", Path("/etc/async-backup/config.toml"))
    found = given or next((path for path in usual if path.exists()), None)
    if found is None:
        raise SettingsError(
            f"there is no configuration file (looked at {' and '.join(map(str, usual))}); name one with --config"
        )
    return found.absolute()


def _program() -> tuple[str, ...]:
    """The absolute path of this program; not of what a link leads to, which the next update may remove."""
    script = Path(sys.argv[0])
    if script.suffix != ".py" and script.is_file() and os.access(script, os.X_OK):
        return (str(script.absolute()),)
    return (str(Path(sys.executable).absolute()), "-m", "async_backup")


def _paths(settings: Mapping[str, Value], *keys: str) -> Iterable[Path]:
    for key in keys:
        value = settings[key].value if key in settings else []
        for path in value if isinstance(value, list) else [value]:
            yield Path(str(path)).expanduser().absolute()
