"""Unpredictable numbers, bought from the system in bulk.

Owns: message ids, source ports and the choice of sockets (RFC 5452 §9). A read of the system's
generator for every id would cost more than the rest of a query.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable

BULK_OCTETS = 4096


class Randomness:
    """16-bit numbers that nobody outside can guess; `source` gives n random octets.

    Empty until the first number is asked for, so that a process forked before that shares nothing.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._numbers: list[int] = []

    def number(self) -> int:
        """Return a number from 0 to 65535."""
        if not self._numbers:
            self._numbers = array("H", self._source(BULK_OCTETS)).tolist()
        return self._numbers.pop()

    def both(self, bound: int) -> int:
        """Return two numbers as one: below 65536 in its low 16 bits, below `bound` above them."""
        numbers = self._numbers
        if len(numbers) < 2:
            numbers = self._numbers = array("H", self._source(BULK_OCTETS)).tolist()
        return numbers.pop() * bound & ~0xFFFF | numbers.pop()

    def below(self, bound: int) -> int:
        """Return a number from 0 to `bound` - 1; `bound` is at most 65536."""
        return self.number() * bound >> 16
