"""A wire between a process and a server that can fall silent: nothing is refused, and nothing is answered."""

import asyncio
import contextlib
import threading
from typing import Self


class Relay:
    """Listens on ``port`` and passes everything on to a server, both ways, unless it is silent.

    ``to`` is the server's Unix socket, or its port on this machine.
    """

    def __init__(self, to: str | int) -> None:
        self._to = to
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._listening = threading.Event()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def fall_silent(self) -> None:
        """Keep what is sent, either way."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def speak(self) -> None:
        """Pass on what was kept, and what comes."""
        self._loop.call_soon_threadsafe(self._passing.set)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._passing, self._over = asyncio.Event(), asyncio.Event()
        self._passing.set()
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = int(server.sockets[0].getsockname()[1])
            self._listening.set()
            await self._over.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the relay is over
            if isinstance(self._to, str):
                there, back = await asyncio.open_unix_connection(self._to)
            else:
                there, back = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._passing.wait()
                writer.write(data)
        except ConnectionError:
            return  # the other end is told below
        finally:
            writer.close()
