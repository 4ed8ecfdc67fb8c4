"""From a profile of the configuration file to the job that a schedule starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from async_backup.cli.profile import open_profiles, usual_files
from async_backup.cli.state import state_directory
from async_backup.errors import SettingsError
from async_backup.profiles.finding import missing
from async_backup.scheduling.model import Job

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from async_backup.profiles.model import Value
    from async_backup.scheduling.model import When

_KEPT_VARIABLES = ("XDG_STATE_HOME",)
"""What would lead a scheduled run to other locks than one that is started by hand."""


def job_of(profile: str, config: Path | None, when: When, spread: int) -> Job:
    """The job of a profile; raises SettingsError where the file or the profile is not there."""
    profiles = open_profiles(config, profile)
    if profiles is None:
        raise missing(profile, usual_files())
    file = profiles.file.absolute()
    settings = profiles.resolved(profile)
    for needed in ("sources", "to"):
        if needed not in settings:
            raise SettingsError(f"the profile {profile} in {file} has no {needed}, so that it cannot be run by itself")
    arguments = ("--profile", profile, "--config", str(file))
    commands = [(*_program(), "run", *arguments)]
    if any(key.startswith("keep-") for key in settings):
        commands.append((*_program(), "prune", *arguments))
    return Job(
        profile,
        tuple(commands),
        when,
        spread,
        reads=tuple(_paths(file, settings, "sources")) or (Path("/"),),
        writes=(
            state_directory(),
            *(path.parent for path in _paths(file, settings, "metrics", "report")),
        ),
        has_hooks=bool(profiles.hooks(profile)),
        environment={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
    )


def _program() -> tuple[str, ...]:
    """The absolute path of this program; not of what a link leads to, which the next update may remove."""
    script = Path(sys.argv[0])
    if script.suffix != ".py" and script.is_file() and os.access(script, os.X_OK):
        return (str(script.absolute()),)
    return (str(Path(sys.executable).absolute()), "-m", "async_backup")


def _directories(paths: Iterable[Path]) -> Iterable[Path]:
    return (path.parent for path in paths)


def _paths(file: Path, settings: Mapping[str, Value], *keys: str) -> Iterable[Path]:
    """Paths of a profile, behind any symbolic links: relative ones are below the file's directory."""
    for key in keys:
        value = settings[key].value if key in settings else []
        for path in value if isinstance(value, list) else [value]:
            yield (file.parent / Path(str(path)).expanduser()).resolve()
