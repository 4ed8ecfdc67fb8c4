"""A line with a round trip: a TCP proxy that holds each byte for a fixed time in either direction, at any rate.

usage: python -m benchmarks.delay_proxy LISTEN_PORT TARGET_PORT ROUND_TRIP_MS

Both ports are on the loopback. It prints "ready" when it listens, and runs until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

HOST = "127.0.0.1"
CHUNK = 1 << 18


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Carry bytes from one side to the other, each so many seconds after it came; then the end."""
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    delivery = asyncio.create_task(_deliver(line, writer))
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            line.put_nowait((asyncio.get_running_loop().time() + delay, data))
    line.put_nowait((asyncio.get_running_loop().time() + delay, b""))
    await delivery


async def _deliver(line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            due, data = await line.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(listen: int, target: int, delay: float) -> None:
    async def accept(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(HOST, target, limit=CHUNK)
        await asyncio.gather(_pump(client, to_server, delay), _pump(server, to_client, delay))

    listening = await asyncio.start_server(accept, HOST, listen, limit=CHUNK)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 2000))
