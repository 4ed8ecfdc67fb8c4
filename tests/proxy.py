"""A TCP proxy on the loopback that does to connections what networks do to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from dataclasses import dataclass
from typing import Self

HOST = "127.0.0.1"
CHUNK = 1 << 16
CHUNKS_IN_FLIGHT = 4096

Direction = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Line = asyncio.Queue[tuple[float, bytes]]


@dataclass(frozen=True)
class Cut:
    """End a connection when it has carried `after` bytes from client to server, counted from its start.


    One that has carried more already ends with its next bytes, be they only its farewell. With `reset` both sides
    see a reset, and some of the last bytes may not arrive; otherwise the end is orderly. With `once` this happens
    to one connection, otherwise to each.
    """

    after: int
    reset: bool = True
    once: bool = False


class BlackHole:
    """Swallow whatever comes, from both sides, ends of connections too. It is lost for good."""


@dataclass(frozen=True)
class Refuse:
    """Reset each new connection as soon as it is made, but for the first ones of all; those already made go on."""

    beyond: int = 0


Fault = Cut | BlackHole | Refuse


class FaultProxy:
    """Forwards `port` to `target_port`, with faults that can be switched at any time.

    `fault`: what is done to connections, None for nothing
    `delay`: seconds that each byte takes on its way in either direction, in order, whatever their number
    `rate`: bytes a second in each direction, shared by all connections, None for no limit
    `connections`: how many clients have connected so far; `fired`: how many cuts, refusals, pieces swallowed
    """

    def __init__(self, target_port: int, *, fault: Fault | None = None) -> None:
        self.port = 0
        self.fault = fault
        self.delay = 0.0
        self.rate: float | None = None
        self.connections = 0
        self.fired = 0
        self._target_port = target_port
        self._free_at = {"up": 0.0, "down": 0.0}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if errors := [result for result in results if isinstance(result, Exception)]:
            raise errors[0]

    def departure(self, size: int, direction: str) -> float:
        """The time at which `size` bytes that arrive now are through the line, which they occupy until then."""
        start = max(time.monotonic(), self._free_at[direction])
        self._free_at[direction] = start + (size / self.rate if self.rate else 0.0)
        return self._free_at[direction]

    def swallows(self) -> bool:
        """Whether what is at hand has to be lost; it counts as swallowed."""
        hit = isinstance(self.fault, BlackHole)
        self.fired += hit
        return hit

    def claimed_cut(self, carried: int) -> Cut | None:
        """The cut that is due on a connection that carries so many bytes; the caller now owes it."""
        cut = self.fault
        if not isinstance(cut, Cut) or carried < cut.after:
            return None
        self.fired += 1
        self.fault = None if cut.once else cut
        return cut

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._server.is_serving():
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer, self.connections))
        self._tasks.append(task)
        task.add_done_callback(lambda _: writer.transport.abort())  # cancelled before its first step, it closes nothing

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter, number: int) -> None:
        try:
            if isinstance(self.fault, Refuse) and number > self.fault.beyond:
                self.fired += 1
                raise ConnectionRefusedError
            server, to_server = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            _reset(to_client)
            return
        await _Connection(self, (client, to_server), (server, to_client)).run()


class _Connection:
    """One client's way through the proxy: two directions, each with a task that takes and one that gives."""

    def __init__(self, proxy: FaultProxy, up: Direction, down: Direction) -> None:
        self._proxy = proxy
        self._directions = {"up": up, "down": down}
        self._writers = [up[1], down[1]]
        self._carried = 0

    async def run(self) -> None:
        """Returns when both sides have ended; what one side did to the connection, the other gets to see."""
        try:
            await self._forward()
            for writer in self._writers:
                writer.close()
                await writer.wait_closed()
        except* EOFError:
            await self._end_orderly()
        except* OSError:
            for writer in self._writers:
                _reset(writer)
        finally:
            for writer in self._writers:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _forward(self) -> None:
        async with asyncio.TaskGroup() as group:
            for direction, (reader, writer) in self._directions.items():
                line: Line = asyncio.Queue(CHUNKS_IN_FLIGHT)
                group.create_task(self._take(reader, line, direction))
                group.create_task(self._give(line, writer, direction))

    async def _take(self, reader: asyncio.StreamReader, line: Line, direction: str) -> None:
        chunk = b"-"
        try:
            while chunk:
                chunk = await reader.read(CHUNK)
                departure = self._proxy.departure(len(chunk), direction)
                await asyncio.sleep(departure - time.monotonic())
                await line.put((departure + self._proxy.delay, chunk))
        except OSError:
            if not self._proxy.swallows():
                raise

    async def _give(self, line: Line, writer: asyncio.StreamWriter, direction: str) -> None:
        while True:
            due, chunk = await line.get()
            await asyncio.sleep(due - time.monotonic())
            if self._proxy.swallows():
                continue
            if not chunk:
                writer.write_eof()
                return
            cut = self._proxy.claimed_cut(self._carried + len(chunk)) if direction == "up" else None
            kept = chunk[: max(cut.after - self._carried, 0)] if cut else chunk
            self._carried += len(kept) if direction == "up" else 0
            writer.write(kept)
            await writer.drain()
            if cut:
                raise ConnectionResetError if cut.reset else EOFError

    async def _end_orderly(self) -> None:
        for writer in self._writers:
            with contextlib.suppress(OSError):
                writer.write_eof()
        for reader, _ in self._directions.values():  # to close with bytes unread would be a reset after all
            with contextlib.suppress(OSError):
                while await reader.read(CHUNK):
                    pass


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
