"""Positive Answers by (qname, qtype), forgotten as soon as what they were made of changes.

Owns: the bound, which Answer hangs on which Service, and whether it is current. Refuses to know
how they are made.
Negative answers never come here: a flood of random names must cost no memory.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from k8sdns.answers import Answer

Key: TypeAlias = tuple[bytes, int]
"""(qname in lower-case wire form, qtype)."""

MAX_ANSWERS: Final = 32768


class Memo:
    """A bounded table of Answers; `answers` may be probed directly, only `keep` adds to it."""

    __slots__ = ("_bound", "_by_namespace", "_loose", "answers")

    def __init__(self, bound: int = MAX_ANSWERS) -> None:
        self.answers: dict[Key, Answer] = {}
        self._by_namespace: dict[str, dict[str, list[Key]]] = {}
        self._loose: list[Key] = []
        self._bound = bound

    def keep(self, key: Key, answer: Answer, namespace: str, service: str) -> None:
        """Remember an Answer that is made of one Service and its slices alone."""
        self._keep(key, answer)
        services = self._by_namespace.setdefault(namespace, {})
        services.setdefault(service, []).append(key)

    def keep_until_any_change(self, key: Key, answer: Answer) -> None:
        """Remember an Answer that any object may alter (PTR records, chains of aliases)."""
        self._keep(key, answer)
        self._loose.append(key)

    def _keep(self, key: Key, answer: Answer) -> None:
        # Everything at once: the next questions refill what is in use, and the common case,
        # a table that is never full, pays for no order of age.
        if len(self.answers) >= self._bound:
            self.clear()
        self.answers[key] = answer
        answer.is_current = True

    def changed(self, kind: str, namespace: str, name: str) -> None:
        """Forget what hangs on an object; signature of the store's subscribers."""
        self._forget(self._loose)
        self._loose.clear()
        if kind == "namespaces":
            for keys in self._by_namespace.pop(name, {}).values():
                self._forget(keys)
        elif kind != "pods" and namespace in self._by_namespace:
            services = self._by_namespace[namespace]
            self._forget(services.pop(name, []))
            if not services:
                del self._by_namespace[namespace]

    def clear(self) -> None:
        """Forget everything."""
        for answer in self.answers.values():
            answer.is_current = False
        self.answers.clear()
        self._by_namespace.clear()
        self._loose.clear()

    def _forget(self, keys: list[Key]) -> None:
        for key in keys:
            answer = self.answers.pop(key, None)
            if answer is not None:
                answer.is_current = False
