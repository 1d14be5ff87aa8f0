# Compiled from native/datagrams.c, where there is a compiler.
from collections.abc import Callable
from typing import Any

class Datagrams:
    def __init__(self, fd: int, octets: int) -> None: ...
    def drain(
        self,
        respond: Callable[[bytes, tuple[Any, ...], tuple[Any, ...]], Any],
        local: tuple[Any, ...],
        later: Callable[[Any, tuple[Any, ...]], Any],
        most: int,
        /,
    ) -> int: ...
    def send_reply(self, reply: bytes | None, pending: Any, /) -> None: ...
    def take_lost(self) -> int: ...
    def close(self) -> None: ...
