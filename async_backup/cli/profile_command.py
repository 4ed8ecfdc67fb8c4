"""Commands whose options may also stand in the environment and in a configuration file."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from async_backup.cli.profile_keys import long_name, variable

_SHARED_PANELS = frozenset({"Connection", "Tuning"})


AS_JSON = "async_backup.profile.as_json"
"""Where a context keeps whether errors are wanted as JSON."""


class Configured(TyperCommand):
    """A command all of whose options can be set by `ASYNC_BACKUP_OPTION` and by a profile.

    Flags that were set so are unset on the command line by their opposites: `--no-exclude-caches`, `--xattrs`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            name = long_name(param)
            if name is not None and self.takes(param):
                param.envvar = variable(name)
                param.show_envvar = False  # type: ignore[attr-defined]

    def takes(self, param: Any) -> bool:
        """Whether a parameter is a setting, not merely called like one."""
        return long_name(param) is not None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[AS_JSON] = "--json" in args  # what is wrong with a profile is found before options are looked at
        return super().parse_args(ctx, args)

    def make_parser(self, ctx: Any) -> Any:
        parser = super().make_parser(ctx)
        taken = {option for param in self.params for option in (*param.opts, *param.secondary_opts)}
        params: list[Any] = list(self.params)
        for param in params:
            opposite = opposite_of(param)
            if opposite is not None and opposite not in taken and self.takes(param):
                parser.add_option(obj=param, opts=[opposite], dest=param.name, action="store_const", const=False)
        return parser


class Connecting(Configured):
    """A command that takes from a profile only how to connect and how archives are called."""

    def takes(self, param: Any) -> bool:
        panel = getattr(param, "rich_help_panel", None)
        return long_name(param) is not None and (
            panel in _SHARED_PANELS or long_name(param) == "timestamp-format" or _is_destination(param)
        )


def _is_destination(param: Any) -> bool:
    """`--to DEST`, not the `--to DIR` of restore."""
    return long_name(param) == "to" and param.metavar == "DEST"


def opposite_of(param: Any) -> str | None:
    """The option that unsets a flag; None for what is no flag."""
    name = long_name(param)
    if name is None or not getattr(param, "is_flag", False) or param.secondary_opts:
        return None
    return f"--{name.removeprefix('no-')}" if name.startswith("no-") else f"--no-{name}"
