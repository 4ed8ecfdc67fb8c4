"""A commented configuration file to begin with."""

from __future__ import annotations

from typing import NamedTuple

import tomlkit

from async_backup.errors import SettingsError


class Answers(NamedTuple):
    """What a first profile has to know; the defaults make an example."""

    name: str = "nightly"
    source: str = "/srv/data"
    to: str = "backup@nas.example.net:/backups"
    port: int | None = None
    key: str | None = None
    daily: int | str = 7
    weekly: int | str = 5
    monthly: int | str = 12


_TEXT = """\
# Configuration of async-backup. Settings are called as the options of the commands;
# docs/configuration.md explains all of them, and so does `async-backup run --help`.
# `async-backup config check` finds mistakes, `config show --profile {name}` tells what holds.

[defaults]
# For every profile, and for commands without --profile.
{port}
{key}
# workers = 8
# exclude = ["*.tmp", ".cache/"]
# exclude-caches = true

[profile.{quoted_name}]
# Each entry of a source becomes an archive. Paths may begin with ~.
sources = [{source}]
# With several destinations all is packed once and sent to each.
to = [{to}]
# What `async-backup prune --profile {name}` keeps of each entry.
keep-daily = {daily}
keep-weekly = {weekly}
keep-monthly = {monthly}

# Another profile may take all of this and change some of it:
# [profile.weekly]
# extends = "{name}"
# limit-rate = "10M"

# Commands around every run; what happened is in their environment and on their standard input.
# [hooks]
# before = "systemctl stop wiki"
# after = "systemctl start wiki"
# timeout = "5m"
"""


def configuration(answers: Answers) -> str:
    """The text of the file; raises SettingsError for what TOML cannot hold, such as a path that is not UTF-8."""
    return _TEXT.format(
        name=answers.name,
        quoted_name=answers.name if "." not in answers.name else _toml(answers.name),
        port=_setting("port", answers.port, 22),
        key=_setting("key", answers.key, "~/.ssh/id_ed25519"),
        source=_toml(answers.source),
        to=_toml(answers.to),
        daily=_toml(answers.daily),
        weekly=_toml(answers.weekly),
        monthly=_toml(answers.monthly),
    )


def _setting(name: str, value: object, example: object) -> str:
    return f"# {name} = {_toml(example)}" if value is None else f"{name} = {_toml(value)}"


def _toml(value: object) -> str:
    text: str = tomlkit.item(value).as_string()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"{value!r} is not UTF-8, which a configuration file has to be") from error
    return text
