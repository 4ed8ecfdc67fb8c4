"""Telling a monitor, such as healthchecks.io, that a run began and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

from anyio import CancelScope, Event, get_cancelled_exc_class, move_on_after, sleep

from async_backup.errors import SettingsError
from async_backup.hooks.http import DeliveryError, deliver
from async_backup.hooks.model import PingFailed
from async_backup.hooks.threads import call_in_daemon

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER_WITHIN = 4.0
_PAUSES = (0.5, 2.0)
_DEADLINE = 15.0
"""Seconds for one message with all its attempts."""

_START_GRACE = 2.0
"""Seconds that the message of the start still has at the end of the run: it must not arrive after that of the end."""

_BODY_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class PingUrl:
    """The address of a monitor. Whoever knows its path can speak for the backup, so only `shown` is ever printed."""

    url: str = field(repr=False)
    shown: str

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Raises SettingsError for anything but an http or https URL."""
        if not (text.isascii() and text.isprintable() and " " not in text):
            raise SettingsError("a ping URL has no spaces and is ASCII only (write other letters as %XX)")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise SettingsError(f"the ping URL cannot be understood: {str(error).split(':', maxsplit=1)[0]}") from None
        if parts.scheme not in {"http", "https"} or not host:
            raise SettingsError(f"a ping URL begins with https:// or http:// and a host, not with {parts.scheme!r}")
        if parts.username is not None:
            raise SettingsError("a ping URL with a user name or a password is not supported")
        host = f"[{host}]" if ":" in host else host
        return cls(
            urlunsplit(parts._replace(fragment="")), f"{parts.scheme}://{host}{'' if port is None else f':{port}'}/…"
        )

    def with_ending(self, ending: str) -> str:
        """The URL with `ending` behind its path, ahead of a query."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + ending)) if ending else self.url


class Pinger:
    """The messages of one run. Each is tried a few times; what cannot be delivered becomes a PingFailed."""

    def __init__(self, url: PingUrl, listener: Callable[[PingFailed], None]) -> None:
        self._url = url
        self._listener = listener
        self._start = CancelScope()
        self._is_started = Event()

    async def start(self) -> None:
        """Tell that the run begins."""
        try:
            with self._start:
                await self._tell("start", "/start", None)
        finally:
            self._is_started.set()

    async def end(self, summary: str, *, is_success: bool, start_grace: float = _START_GRACE) -> None:
        """Tell how the run ended, once the message of its start has come or `start_grace` seconds are over."""
        with move_on_after(start_grace):
            await self._is_started.wait()
        self._start.cancel()
        body = summary.encode("utf-8", "backslashreplace")[:_BODY_LIMIT]
        kind, ending = ("success", "") if is_success else ("fail", "/fail")
        try:
            await self._tell(kind, ending, body)
        except get_cancelled_exc_class():
            self._listener(PingFailed(self._url.shown, kind, "there was no time left for it"))
            raise

    async def _tell(self, kind: str, ending: str, body: bytes | None) -> None:
        reason = f"no answer within {_DEADLINE:g} s"
        with move_on_after(_DEADLINE):
            for pause in (*_PAUSES, 0):
                try:
                    return await call_in_daemon(partial(deliver, self._url.with_ending(ending), body, _ANSWER_WITHIN))
                except DeliveryError as error:
                    reason = str(error)
                    if error.is_permanent:
                        break
                await sleep(pause)
        self._listener(PingFailed(self._url.shown, kind, reason))
        return None
