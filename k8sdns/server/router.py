"""Which server block answers: the longest zone that encloses the name, on one listener.

Owns CoreDNS's routing rules: views may decline, a DS question belongs to the parent zone, a
block without directives refuses (CoreDNS core/dnsserver; RFC 4035 §3.1.4.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.server.block import ServerBlock


class Route(NamedTuple):
    """A key of a block on this listener: where a question ends up."""

    zone: bytes
    block: ServerBlock


class Router:
    """The zones that one listener serves; `find` is asked for every query."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._zones: dict[bytes, list[Route]] = {}
        for route in routes:
            self._zones.setdefault(route.zone, []).append(route)
        for route in self.routes:
            route.block.route_apart(self._zones)
        self._only = self._single_root()
        if any(route.block.routings for route in self.routes):
            # Who asks decides where a question goes, also for those that no view takes.
            for route in self.routes:
                route.block.repeat_nothing()

    def _single_root(self) -> Route | None:
        """Return the route of a listener that serves nothing but the root, without conditions."""
        if list(self._zones) != [names.ROOT]:
            return None
        route = self._zones[names.ROOT][0]
        return None if route.block.is_empty or route.block.routings else route

    @property
    def routes(self) -> list[Route]:
        """Every route, in the order of the Corefile."""
        return [route for routes in self._zones.values() for route in routes]

    def find(self, question: Question) -> Route | None:
        """Return the route of a question; None means REFUSED."""
        if self._only is not None:
            return self._only
        return self._longest(question)

    def _longest(self, question: Question) -> Route | None:
        at_parent = question.qtype == records.DS
        found = None
        for zone in names.suffixes(question.qname):
            route = self._admitting(self._zones.get(zone, ()), question)
            if route is None or (found is not None and zone == names.ROOT):
                continue
            if not (at_parent and zone == question.qname):
                return None if route.block.is_empty else route
            found = route
        return found

    def _admitting(self, routes: Iterable[Route], question: Question) -> Route | None:
        for route in routes:
            if all(view.admits(question) for view in route.block.routings):
                return route
        return None
