"""Whom to ask first: the policies of `forward` and `proxy`, each an order over the upstreams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol, TypeAlias, TypeVar


class Loaded(Protocol):
    """What `least_conn` looks at."""

    in_flight: int


T = TypeVar("T", bound=Loaded)
Policy: TypeAlias = "Callable[[Sequence[T]], Sequence[T]]"


def random_order(random: Random) -> Callable[[Sequence[T]], Sequence[T]]:
    """A new permutation for every query."""

    def order(upstreams: Sequence[T]) -> Sequence[T]:
        return upstreams if len(upstreams) == 1 else random.sample(upstreams, len(upstreams))

    return order


def round_robin() -> Callable[[Sequence[T]], Sequence[T]]:
    """The configured order, beginning one further with every query."""
    turn = -1

    def order(upstreams: Sequence[T]) -> Sequence[T]:
        nonlocal turn
        turn = (turn + 1) % len(upstreams)
        return [*upstreams[turn:], *upstreams[:turn]]

    return order


def sequential(upstreams: Sequence[T]) -> Sequence[T]:
    """The configured order; proxy calls it ``first`` as well."""
    return upstreams


def least_conn(random: Random) -> Callable[[Sequence[T]], Sequence[T]]:
    """The one with the fewest queries in flight first, equals by chance."""

    def order(upstreams: Sequence[T]) -> Sequence[T]:
        mixed = random.sample(upstreams, len(upstreams))
        return sorted(mixed, key=lambda upstream: upstream.in_flight)

    return order


FORWARD_POLICIES = ("random", "round_robin", "sequential")
PROXY_POLICIES = ("random", "least_conn", "round_robin", "sequential", "first")


def policy_named(name: str, random: Random) -> Callable[[Sequence[T]], Sequence[T]]:
    """Return a policy by its word in the Corefile; KeyError for an unknown one."""
    if name == "random":
        return random_order(random)
    if name == "least_conn":
        return least_conn(random)
    if name == "round_robin":
        return round_robin()
    if name in {"sequential", "first"}:
        return sequential
    raise KeyError(name)
