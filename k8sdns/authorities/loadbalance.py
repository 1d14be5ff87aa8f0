"""Orders of addresses: by weights from a file, by preferred networks.

Owns: the weight file and its rereading, and the order of addresses in an Answer. Refuses to know
plain rotation, which the writer does without another Answer.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.acl import Network, Networks
from k8sdns.authorities.polling import Rereading
from k8sdns.interfaces import IStage
from k8sdns.records import Record
from k8sdns.waiting import then

log = Logger()

Respond = Callable[[Question], "Answer | Deferred[Answer]"]
Weights = Mapping[bytes, Mapping[bytes, int]]  # by owner, by address as octets
Order = Callable[[list[Record]], list[Record]]

MAX_WEIGHT: Final = 255
_ADDRESS_TYPES = frozenset({records.A, records.AAAA})
_WEIGHED_TYPES = frozenset({records.A, records.AAAA, records.SRV})
_LINES_A_STEP = 64


class BadWeights(ValueError):
    """A weight file that cannot be read; the message names the file and the line."""


def read_weights(path: str) -> Generator[None, None, Weights]:
    """Read a weight file in steps and return what it says; raises `OSError`, `BadWeights`.

    A line of one word is a name; each line ``ADDRESS WEIGHT`` below it weighs one of its addresses.
    """
    weights: dict[bytes, dict[bytes, int]] = {}
    current: dict[bytes, int] | None = None
    with open(path, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if number % _LINES_A_STEP == 0:
                yield
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                if len(words) == 1:
                    current = weights.setdefault(names.from_text(words[0]), {})
                elif current is None:
                    raise ValueError("an address needs a name on a line of its own above it")
                else:
                    address, weight = _weight(words)
                    current[address] = weight
            except (ValueError, names.BadName) as error:
                raise BadWeights(f"{path}:{number} - {error}") from None
    return weights


def _weight(words: Sequence[str]) -> tuple[bytes, int]:
    if len(words) != 2:
        raise ValueError("write a name, or an address and its weight")
    address = ipaddress.ip_address(words[0]).packed
    if not words[1].isdecimal() or not 1 <= int(words[1][:9]) <= MAX_WEIGHT:
        raise ValueError(f"wrong weight value '{words[1]}': it is 1 to {MAX_WEIGHT}")
    return address, int(words[1])


class WeightFile(Service):
    """The weights of a file, read again every `period` seconds if it changed; 0 is never."""

    def __init__(self, clock: IReactorTime, path: str, period: float) -> None:
        self.weights: Weights = {}
        self._path = path
        self._is_known = False
        self._rereading = Rereading(
            clock, period, path, lambda: read_weights(path), take=self._take, keep=self._keep
        )
        self._read_first()

    def _read_first(self) -> None:
        try:
            self._rereading.read_if_small()
        except OSError as error:
            log.warn(
                "Failed to open weight file: {path}: {error}",
                path=self._path,
                error=error.strerror,
            )
        except BadWeights as error:
            log.error("{error}", error=error)

    def _take(self, weights: Weights) -> None:
        self.weights = weights
        if self._is_known:
            log.info("Successfully reloaded weight file {path}", path=self._path)
        self._is_known = True

    def _keep(self, failure: Failure) -> None:
        log.error("The weights stay as they are: {error}", error=failure.getErrorMessage())

    def startService(self) -> None:
        """Begin to look for changes; read now what was too large to read at once."""
        super().startService()  # type: ignore[no-untyped-call]
        self._rereading.start()

    def stopService(self) -> None:
        """Look no longer."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._rereading.stop()


class Weighted:
    """Puts one address in front, each with a probability that is its share of the weights."""

    def __init__(self, file: WeightFile, rng: random.Random | None = None) -> None:
        self._file = file
        self._rng = rng or random.Random()

    def __call__(self, addresses: list[Record]) -> list[Record]:
        """Return the addresses with another one first; one without a weight weighs 1."""
        weights = [
            self._file.weights.get(each.owner.lower(), {}).get(each.rdata, 1) for each in addresses
        ]
        (first,) = self._rng.choices(range(len(addresses)), weights)
        ordered = list(addresses)
        ordered[0], ordered[first] = ordered[first], ordered[0]
        return ordered


class Shuffled:
    """Puts the addresses in any order, all orders alike."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()

    def __call__(self, addresses: list[Record]) -> list[Record]:
        """Return the addresses in another order."""
        return self._rng.sample(addresses, len(addresses))


class Preferred:
    """Puts addresses in preferred networks first, in the order of the networks."""

    def __init__(self, networks: Sequence[Network], before: Order) -> None:
        self._networks = [Networks((network,)) for network in networks]
        self._before = before

    def __call__(self, addresses: list[Record]) -> list[Record]:
        """Return the addresses ordered by `before`, and then by network."""
        return sorted(self._before(addresses), key=self._rank)

    def _rank(self, record: Record) -> int:
        for rank, network in enumerate(self._networks):
            if network.holds(record.rdata):
                return rank
        return len(self._networks)


@implementer(IStage)
class AddressOrder:
    """Reorders the addresses of positive answers; all other records stay where they are."""

    def __init__(self, order: Order, types: frozenset[int] | None = None) -> None:
        """`types` are those of the questions whose answers are ordered; None is all."""
        self._order = order
        self._types = types

    @classmethod
    def weighted(cls, order: Order) -> AddressOrder:
        """Return one for the questions that weights are about."""
        return cls(order, _WEIGHED_TYPES)

    def respond(self, question: Question, rest: Respond) -> Answer | Deferred[Answer]:
        """Ask on, and order what comes back."""
        if self._types is not None and question.qtype not in self._types:
            return rest(question)
        return then(rest(question), self._ordered)

    def _ordered(self, answer: Answer) -> Answer:
        if answer.rcode != records.NOERROR:
            return answer
        found, further = self._section(answer.answer), self._section(answer.additional)
        if found is answer.answer and further is answer.additional:
            return answer
        return answer.replace(answer=found, additional=further)

    def _section(self, section: tuple[Record, ...]) -> tuple[Record, ...]:
        """Return a section whose addresses changed places with one another."""
        places = [at for at, each in enumerate(section) if each.rtype in _ADDRESS_TYPES]
        if len(places) < 2:
            return section
        ordered = list(section)
        for at, record in zip(places, self._order([section[at] for at in places]), strict=True):
            ordered[at] = record
        return tuple(ordered)
