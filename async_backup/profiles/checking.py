"""Whether the settings in a file are settings, and may be what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backup.errors import SettingsError
from async_backup.profiles.model import EXTENDS, HOOKS
from async_backup.profiles.suggestions import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from async_backup.profiles.keys import Key
    from async_backup.profiles.model import Profiles, Value

    Keys = Mapping[str, Key]
    Deeper = Mapping[str, Callable[[object], object]]


def problems(profiles: Profiles, keys: Keys, deeper: Deeper) -> list[str]:
    """All that is wrong in a file, each with its line, in their order.

    `deeper` holds, by the names of keys, what raises SettingsError for values of the right type that mean nothing.
    """
    sections = [profiles.defaults, *profiles.sections.values()]
    values = [(name, value) for section in sections for name, value in section.values.items()]
    values.sort(key=lambda item: item[1].place.line)
    return [problem for name, value in values for problem in problems_of(name, value, keys, deeper)]


def check(values: Mapping[str, Value], keys: Keys, deeper: Deeper) -> None:
    """Raise SettingsError for the first of these settings that is wrong."""
    for name, value in values.items():
        for problem in problems_of(name, value, keys, deeper):
            raise SettingsError(problem)


def problems_of(name: str, value: Value, keys: Keys, deeper: Deeper) -> Iterator[str]:
    """What is wrong with one setting, with its line."""
    try:
        key = _known(name, value, keys)
        key.check(value.value)
        for item in value.value if isinstance(value.value, list) else [value.value]:
            deeper.get(key.name, _nothing)(item)
    except SettingsError as error:
        yield f"{value.place}: {error}"


def _known(name: str, value: Value, keys: Keys) -> Key:
    if name in keys:
        return keys[name]
    near = suggestion(name, [*keys, EXTENDS, HOOKS])
    section = value.place.section.replace(" ", ".")
    raise SettingsError(f"there is no setting {name!r} (in [{section}]); {near or 'see `async-backup config schema`'}")


def _nothing(item: object) -> None:
    del item
