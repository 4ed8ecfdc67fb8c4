"""From `--profile` and `--config` to what the options of a command are by default."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs
import typer  # noqa: TC002 - Typer evaluates the annotations of callbacks

from async_backup.cli.execute import fail
from async_backup.cli.profile_command import AS_JSON, Configured
from async_backup.cli.profile_keys import by_name, keys_of
from async_backup.cli.profile_values import MEANINGS
from async_backup.errors import SettingsError
from async_backup.profiles.checking import check
from async_backup.profiles.finding import find, missing
from async_backup.profiles.keys import plain_value
from async_backup.profiles.reading import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backup.profiles.model import Profiles

SYSTEM_FILE: Final = Path("/etc/async-backup/config.toml")
_SEEN = "async_backup.profile.seen"
_CHOSEN = "async_backup.profile.chosen"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The profile of a command (None: the defaults alone) and the file that it is in (None: there is no file)."""

    name: str | None = None
    profiles: Profiles | None = None

    @property
    def hooks(self) -> Mapping[str, object]:
        """The hooks of the profile, unchecked."""
        return self.profiles.hooks(self.name) if self.profiles else {}

    @property
    def destinations(self) -> list[str]:
        """The destinations of the profile."""
        to = self.profiles.resolved(self.name).get("to") if self.profiles else None
        value = to.value if to else []
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def chosen(ctx: typer.Context) -> Chosen:
    """What `--profile` and `--config` named for this command."""
    found = ctx.meta.get(_CHOSEN)
    return found if isinstance(found, Chosen) else Chosen()


def usual_files() -> tuple[Path, ...]:
    """Where a configuration file is looked for, the first before the others."""
    return (user_file(), SYSTEM_FILE)


def user_file() -> Path:
    """The configuration file of this user."""
    return platformdirs.user_config_path("async-backup") / "config.toml"


def open_profiles(config: Path | None, name: str | None) -> Profiles | None:
    """The configuration file, with the profile in it; None where neither was named and no file exists.

    Raises SettingsError.
    """
    file = find(config.expanduser() if config else None, usual_files())
    if file is None:
        if name is not None:
            raise missing(name, usual_files())
        return None
    profiles = load(file)
    profiles.resolved(name)
    return profiles


def configure(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """The callback of both options: the later of them gives the options of the command their defaults."""
    seen = ctx.meta.setdefault(_SEEN, {})
    seen[param.name] = value
    if len(seen) == 2 and not ctx.resilient_parsing:
        try:
            _apply(ctx, Chosen(seen["profile"], open_profiles(seen["config"], seen["profile"])))
        except SettingsError as error:
            fail(error, as_json=ctx.meta.get(AS_JSON, False))
    return value


def _apply(ctx: typer.Context, choice: Chosen) -> None:
    ctx.meta[_CHOSEN] = choice
    if choice.profiles is not None:
        ctx.default_map = defaults_for(ctx, choice.profiles, choice.name)


def defaults_for(ctx: typer.Context, profiles: Profiles, name: str | None) -> dict[str, Any]:
    """What the parameters of the context's command are by default; raises SettingsError for any wrong setting."""
    keys = keys_of(ctx)
    values = profiles.resolved(name)
    check(values, keys, MEANINGS)
    command = ctx.command
    params = by_name([param for param in command.params if not isinstance(command, Configured) or command.takes(param)])
    return {
        params[key].name: _as_taken(params[key], plain_value(keys[key], value))
        for key, value in values.items()
        if key in params
    }


def _as_taken(param: Any, value: object) -> object:
    """One value or a list: commands may differ in how many they take of the same."""
    takes_several = param.multiple or param.nargs == -1
    return [value] if takes_several and not isinstance(value, list) else value


def completed_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Profiles whose names begin so, for the completion of shells."""
    with suppress(SettingsError):
        config = ctx.params.get("config")
        profiles = open_profiles(config if isinstance(config, Path) else None, None)
        return [name for name in (profiles.names() if profiles else ()) if name.startswith(incomplete)]
    return []
