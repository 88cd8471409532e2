"""A wire between a process and its database that can fall silent: nothing is refused, and nothing is answered."""

import asyncio
import threading
from typing import Self


class Relay:
    """Listens on ``port`` and passes everything on to a socket of PostgreSQL's, both ways, unless it is silent."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.speak()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def fall_silent(self) -> None:
        """Keep what is sent, either way."""
        self._loop.call_soon_threadsafe(self._passing.clear)

    def speak(self) -> None:
        """Pass on what was kept, and what comes."""
        self._loop.call_soon_threadsafe(self._passing.set)

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._path)
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
