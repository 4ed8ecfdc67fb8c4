"""Connections and their channels: opened a few at a time, lent by load, watched, replaced when lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from anyio import CancelScope, CapacityLimiter, Condition, Event, Lock, move_on_after, sleep

from async_backup.errors import BackupError, ConnectionDropped, NoDigestCommand, RemoteError, Unreachable
from async_backup.remote.link import Link
from async_backup.remote.retry import pause_before, retried
from async_backup.tasks import in_background, task_group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.ssh.channel import Channel
    from async_backup.remote.ssh.commands import Commands
    from async_backup.remote.ssh.dial import Dialer
    from async_backup.remote.ssh.shell import Shell

WhenFewer = Callable[[int, BackupError], None]
"""Told how many connections there are, and why no more, where the server does not take as many as were wanted."""

SLOWEST_HASHING = 2 << 20
"""Bytes a second of the slowest server: a digest may take a file's size by this, and the time limit."""

_CLOSING_GRACE = 2.0
_CHECKS_A_TIMEOUT = 8
_DIALS_AT_ONCE = 3
"""Logins at the same time, once one has succeeded: far from the 10 from which on OpenSSH turns some away."""


class Pool:
    """Lends channels to requests that share them, for as long as it is `opened`."""

    def __init__(
        self,
        dialer: Dialer,
        *,
        connections: int,
        channels: int,
        retries: int,
        timeout: float,
        when_fewer: WhenFewer = lambda *_: None,
    ) -> None:
        self._dialer = dialer
        self._wanted_connections = connections
        self._channels_each = channels
        self._retries = retries
        self._timeout = timeout
        self._when_fewer = when_fewer
        self._links: list[Link] = []
        self._hashing: Link | None = None
        self._turn_to_hash = Lock()
        self._failure: BackupError | None = None
        self._change = Condition()
        self._loss = Event()
        self.host = dialer.host

    async def channel(self) -> Channel:
        """The channel with the least to do; waits while the only ones left are being replaced.

        Raises what ended the last attempt to connect, once there is no hope.
        """
        while True:
            usable = self.usable_channels()
            if usable:
                return min(usable, key=lambda channel: (channel.load, channel.watch.requests))
            if self._failure is not None:
                raise type(self._failure)(*self._failure.args)
            self._loss.set()
            async with self._change:
                if not self.usable_channels() and self._failure is None:
                    await self._change.wait()

    def usable_channels(self) -> list[Channel]:
        """All channels that can be used now; notes the loss of others."""
        usable = [channel for link in self._links for channel in link.usable_channels()]
        if len(usable) < sum(len(link.channels) for link in self._links):
            self._loss.set()
        return usable

    async def shell(self) -> Shell:
        """The shell with the least to do; raises NoDigestCommand where the server opens none."""
        shells = self._usable_shells()
        if shells and not all(shell.load for shell in shells):
            return min(shells, key=lambda shell: shell.load)
        for link in self._links:
            if not link.is_opening_shell and link.usable_shell() is None and (opened := await link.open_shell()):
                return opened
        for link in self._links:
            if link.is_opening_shell and not self._usable_shells():
                await link.open_shell()
        if shells := self._usable_shells():
            return min(shells, key=lambda shell: shell.load)
        raise NoDigestCommand(f"{self.host}: the server opens no session for a command")

    def _usable_shells(self) -> list[Shell]:
        return [shell for link in self._links if (shell := link.usable_shell())]

    async def commands(self) -> Commands:
        """What runs commands without a shell, and has the least to do; raises as `channel`."""
        await self.channel()
        return min((link.commands for link in self._links if link.connection.is_usable), key=lambda it: it.load)

    @asynccontextmanager
    async def hashing(self, size: int) -> AsyncIterator[Channel]:
        """A channel for a request that keeps the server at work on `size` bytes; raises BackupError.

        A server that deals with the requests of a connection one after another answers no other meanwhile. So it is one
        of a connection of its own; where the server takes no further one, one of ours, which others leave then.
        """
        async with self._turn_to_hash:
            if not (self._hashing and self._hashing.usable_channels()):
                self._hashing = await self._link_to_hash()
                self._hashing.connection.expect_silence()
            link = self._hashing
        link.bytes_hashed += size
        try:
            yield link.usable_channels()[0]
        finally:
            link.bytes_hashed -= size

    async def _link_to_hash(self) -> Link:
        try:
            return await self._new_link()
        except BackupError:
            await self.channel()
            links = [link for link in self._links if link.usable_channels()]
            link = min(links, key=lambda link: sum(channel.load for channel in link.channels))
            if len(links) > 1:
                self._links.remove(link)
                self._wanted_connections = len(links) - 1
            return link

    async def _new_link(self, *, with_shell: bool = False) -> Link:
        link = Link(await self._dialer.dial())
        try:
            async with task_group() as tasks:
                tasks.start_soon(link.open_channel)
                if with_shell:
                    tasks.start_soon(link.open_shell)  # asked for behind the channel, which gets the only session
        except BaseException:
            link.connection.abort()
            raise
        return link

    def drop_shells(self) -> None:
        """Leave the sessions of shells to the channels: they are of no use on this server."""
        for link in self._links:
            if link.shell:
                link.shell.close()

    async def _connect(self, *, with_shell: bool) -> None:
        """Make the first connection with one channel; with a shell too, where the server lets us; raises BackupError.

        A connection that is lost while that is done is replaced. A shell that is wanted later may find all the sessions
        that the server allows taken by channels.
        """
        link = await retried(partial(self._new_link, with_shell=with_shell), self._retries)
        self._links.append(link)

    async def _keep_filled(self) -> None:
        """Open what is missing, and again whenever something is lost; never returns."""
        attempt = 0
        while True:
            self._loss = Event()
            try:
                await self._fill()
                attempt = 0
            except (ConnectionDropped, Unreachable) as error:
                if attempt >= self._retries:
                    await self._give_up(error)
                    attempt = 0
                else:
                    await sleep(pause_before(attempt))
                    attempt += 1
                    continue
            except BackupError as error:
                await self._give_up(error)
            await self._loss.wait()

    async def _give_up(self, error: BackupError) -> None:
        """Go on with what there is; with nothing, tell everybody who waits."""
        if usable := self.usable_channels():
            there = len({channel.connection for channel in usable})
            if there < self._wanted_connections:
                self._when_fewer(there, error)
            self._wanted_connections = there
            return
        self._failure = error
        await self._notify()

    async def _fill(self) -> None:
        self._links = [link for link in self._links if link.connection.is_usable]
        missing, errors = range(self._wanted_connections - len(self._links)), list[BackupError]()
        turns = CapacityLimiter(_DIALS_AT_ONCE)
        async with task_group() as tasks:
            for link in self._links:
                tasks.start_soon(self._refill, link)
            for _ in missing:
                tasks.start_soon(self._add_link, turns, errors)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, ConnectionDropped | Unreachable))

    async def _refill(self, link: Link) -> None:
        """All channels of a connection that is there; one that takes none is given up, and replaced the next time."""
        try:
            await self._fill_link(link)
        except RemoteError:
            link.connection.abort()
            self._loss.set()

    async def _add_link(self, turns: CapacityLimiter, errors: list[BackupError]) -> None:
        """One more connection with its channels; an error costs no other one."""
        try:
            async with turns:
                link = Link(await self._dialer.dial())
            self._links.append(link)
            await self._fill_link(link)
        except BackupError as error:
            errors.append(error)

    async def _fill_link(self, link: Link) -> None:
        while len(link.usable_channels()) < (link.most_channels or self._channels_each):
            await link.open_channel()
            await self._notify()

    async def _notify(self) -> None:
        async with self._change:
            self._change.notify_all()

    async def _watch(self) -> None:
        """Discard channels that give no answer; never returns."""
        while True:
            await sleep(self._timeout / _CHECKS_A_TIMEOUT)
            queued = sum(channel.watch.bytes_under_way for channel in self.usable_channels())
            for link in self._all_links():
                self._discard_stalled(link, queued)

    def _all_links(self) -> list[Link]:
        return list(dict.fromkeys([*self._links, *([self._hashing] if self._hashing else [])]))

    def _discard_stalled(self, link: Link, queued: int) -> None:
        patience = link.bytes_hashed / SLOWEST_HASHING
        stalled = [channel for channel in link.usable_channels() if channel.watch.is_stalled(queued, patience)]
        for channel in stalled:
            channel.discard()
        if stalled and not link.usable_channels():
            link.connection.abort()  # a new channel on a dead line would only be waited for again
        if stalled:
            self._loss.set()

    @asynccontextmanager
    async def opened(self, *, with_shell: bool) -> AsyncIterator[None]:
        """For a block that begins with the first channel; others follow in the background. Raises BackupError.

        Without `with_shell` no shell is opened before somebody asks for one. Connections are there also while the block
        cleans up after it was cancelled: what is left on the server is removed by them.
        """
        try:
            await self._connect(with_shell=with_shell)
            async with in_background(self._keep_filled, self._watch):
                yield
        finally:
            with CancelScope(shield=True):
                await self._close()

    async def _close(self) -> None:
        """End all connections, at once where they do not answer."""
        links = self._all_links()
        with move_on_after(_CLOSING_GRACE, shield=True):
            for link in links:
                await link.connection.close()
        for link in links:
            link.connection.abort()
