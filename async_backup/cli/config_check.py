"""All that can be found wrong in a configuration file without connecting."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from async_backup.cli.connecting import destination_of
from async_backup.cli.profile_keys import keys_of
from async_backup.cli.profile_values import MEANINGS, is_there
from async_backup.errors import SettingsError
from async_backup.hooks.model import HookSettings
from async_backup.profiles.checking import problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import typer

    from async_backup.profiles.model import Profiles, Value


def trouble(ctx: typer.Context, profiles: Profiles) -> list[str]:
    """What makes a profile fail: first what is wrong with single settings; if nothing is, with several together."""
    found = problems(profiles, keys_of(ctx), MEANINGS) or list(_contradictions(profiles))
    return list(dict.fromkeys([*found, *_hooks(profiles)]))  # what is inherited is said once


def warnings(profiles: Profiles) -> Iterator[str]:
    """What may well be right, but is worth a look."""
    mode = profiles.file.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"{profiles.file} can be changed by others, and so can the commands that its hooks run; chmod go-w it"
    for name in profiles.names():
        values = profiles.resolved(name)
        for needed in ("sources", "to"):
            if needed not in values:
                yield f"{profiles.section(name).place}: profile {name} has no {needed}; give it on the command line"
        for source in _items(values, "sources"):
            if not is_there(source, profiles.file):
                yield f"{values['sources'].place}: the source {source} of profile {name} is not there"
    yield from _shared_files(profiles)


def _shared_files(profiles: Profiles) -> Iterator[str]:
    """Files that runs of several profiles would write, each in the place of what the other wrote."""
    writers: dict[tuple[str, object], list[str]] = {}
    for name in profiles.names():
        values = profiles.resolved(name)
        for key in {"metrics", "report"} & values.keys() if "sources" in values else ():
            writers.setdefault((key, values[key].value), []).append(name)
    for (key, path), names in sorted(writers.items(), key=str):
        if len(names) > 1:
            place = profiles.resolved(names[-1])[key].place
            yield f"{place}: the {key} file {path} is replaced by each of the profiles {', '.join(names)}"


def _contradictions(profiles: Profiles) -> Iterator[str]:
    for name in (None, *profiles.names()):
        values = profiles.resolved(name)
        port = values["port"].value if "port" in values else None
        for to in _items(values, "to"):
            try:
                destination_of(str(to), port if isinstance(port, int) else None)
            except SettingsError as error:
                yield f"{values['to'].place}: {error} (profile {name or 'defaults'})"
        if all(flag in values and values[flag].value is True for flag in ("quiet", "verbose")):
            yield f"{values['verbose'].place}: quiet and verbose contradict each other (profile {name or 'defaults'})"


def _hooks(profiles: Profiles) -> Iterator[str]:
    for name in (None, *profiles.names()):
        found = profiles.located_hooks(name)
        try:
            HookSettings.parsed({key: hook.value for key, hook in found.items()})
        except SettingsError as error:
            place = next((hook.place for key, hook in found.items() if key in str(error)), profiles.file)
            yield f"{place}: {error}"


def _items(values: Mapping[str, Value], name: str) -> list[object]:
    value = values[name].value if name in values else []
    return list(value) if isinstance(value, list) else [value]
