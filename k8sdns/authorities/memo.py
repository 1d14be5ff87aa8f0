"""Positive Answers by (qname, qtype), forgotten as soon as what they were made of changes.

Owns: the bound, which Answer hangs on which Service, and whether it is current. Refuses to know
how they are made.
Negative answers never come here: a flood of random names must cost no memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

from k8sdns.answers import Answer

Key: TypeAlias = tuple[bytes, int]
"""(qname in lower-case wire form, qtype)."""

MAX_ANSWERS: Final = 32768
FORGOTTEN_AT_ONCE: Final = 64
"""To forget a whole table took over 20 ms, in which nobody was answered."""


class Memo:
    """A bounded table of Answers; `answers` may be probed directly, only `keep` adds to it."""

    __slots__ = ("_bound", "_by_namespace", "_loose", "answers")

    def __init__(self, bound: int = MAX_ANSWERS) -> None:
        self.answers: dict[Key, Answer] = {}
        self._by_namespace: dict[str, dict[str, list[Key]]] = {}
        self._loose: deque[Key] = deque()
        self._bound = bound

    def keep(self, key: Key, answer: Answer, namespace: str, service: str) -> None:
        """Remember an Answer that is made of one Service and its slices alone."""
        self._keep(key, answer)
        services = self._by_namespace.setdefault(namespace, {})
        services.setdefault(service, []).append(key)

    def keep_until_any_change(self, key: Key, answer: Answer) -> None:
        """Remember an Answer that any object may alter (PTR records, chains of aliases)."""
        # Any change forgets all of these in one turn.
        if len(self._loose) >= self._bound // 8:
            self._forget_oldest_loose()
        self._keep(key, answer)
        self._loose.append(key)

    def _keep(self, key: Key, answer: Answer) -> None:
        if len(self.answers) >= self._bound:
            self._make_room()
        self.answers[key] = answer
        answer.is_current = True

    def _make_room(self) -> None:
        """Forget some answers: those of the Service that was remembered first, or loose ones.

        What is in use is back with the next question; and the common case, a table that is never
        full, pays for no order of age.
        """
        if not self._by_namespace:
            self._forget_oldest_loose()
            return
        namespace, services = next(iter(self._by_namespace.items()))
        service, keys = next(iter(services.items()))
        self._forget(keys[:FORGOTTEN_AT_ONCE])
        del keys[:FORGOTTEN_AT_ONCE]
        if not keys:
            self._drop(namespace, service)

    def _drop(self, namespace: str, service: str) -> None:
        services = self._by_namespace[namespace]
        del services[service]
        if not services:
            del self._by_namespace[namespace]

    def _forget_oldest_loose(self) -> None:
        loose = self._loose
        self._forget([loose.popleft() for _ in range(min(FORGOTTEN_AT_ONCE, len(loose)))])

    def changed(self, kind: str, namespace: str, name: str) -> None:
        """Forget what hangs on an object; signature of the store's subscribers."""
        self._forget(self._loose)
        self._loose.clear()
        if kind == "namespaces":
            for keys in self._by_namespace.pop(name, {}).values():
                self._forget(keys)
        elif kind != "pods" and name in self._by_namespace.get(namespace, ()):
            self._forget(self._by_namespace[namespace][name])
            self._drop(namespace, name)

    def clear(self) -> None:
        """Forget everything."""
        for answer in self.answers.values():
            answer.is_current = False
        self.answers.clear()
        self._by_namespace.clear()
        self._loose.clear()

    def _forget(self, keys: Iterable[Key]) -> None:
        for key in keys:
            answer = self.answers.pop(key, None)
            if answer is not None:
                answer.is_current = False
