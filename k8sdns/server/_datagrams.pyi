# Compiled from native/datagrams.c, where there is a compiler.
from collections.abc import Callable
from typing import Any

class Datagrams:
    def __init__(self, fd: int, batch: int, octets: int) -> None: ...
    def drain(
        self,
        respond: Callable[[bytes, tuple[Any, ...], tuple[Any, ...]], Any],
        local: tuple[Any, ...],
        later: Callable[[Any, tuple[Any, ...]], Any],
        /,
    ) -> bool: ...
    def take_lost(self) -> int: ...
    def close(self) -> None: ...
