"""Every interface of k8sdns: who calls it, who owns what, what may be raised, whether it is hot.

A thing that a directive adds to a server block is filed under each of these that it provides.
"Hot" means called for every query: such a method must not block, allocate without bound, log in
the ordinary case, or look anything up by text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from twisted.internet.defer import Deferred

    from k8sdns.answers import Answer, Question
    from k8sdns.records import Record
    from k8sdns.waiting import Pending


class IAuthority(Interface):
    """Answers questions; the chain asks its authorities one after another. Hot."""

    word = Attribute("The directive that made it, as metrics and logs name it (str).")

    def answer(question: Question) -> Answer | Deferred[Answer | None] | None:
        """Return the Answer, or None for "not mine, ask the next", or a Deferred of either.

        Return the Answer itself whenever it is at hand; a Deferred costs time. May raise
        `k8sdns.errors.QueryError`, which becomes its RCODE; any other exception is a bug and
        becomes SERVFAIL for this query, logged and counted. The Answer belongs to everybody
        afterwards: never change one.
        """


class IPendingAuthority(IAuthority):
    """An authority that spares who asks for it the Deferred: those on the way of a query do."""

    def begin(question: Question) -> Answer | Pending | Deferred[Answer | None] | None:
        """Answer as `answer` does, but with a Pending where an Answer must be waited for. Hot."""


class IRepeatable(IAuthority):
    """An authority whose replies may be given again, or that stands in front of such a one."""

    repeats_as = Attribute('The `source` of its Answers that may be current; "" if there are none.')

    def never_answers(question: Question) -> bool:
        """Tell whether it passes on every question like this one, now and later."""

    def never_answers_below(question: Question, parent: bytes) -> bool:
        """The same of every question of its type for any name below `parent` (wire name)."""


class IRemoteAuthority(IAuthority):
    """An authority whose answers come over the network: what `cache` wraps, live data never."""


class IUpstreams(Interface):
    """The servers behind a remote authority, one by one: `loop` looks where they lead."""

    zone = Attribute("The zone whose names they are asked for, as wire name (bytes).")

    def upstreams() -> tuple[str, ...]:
        """Return their addresses, as ``address:port``; those that were left out, too."""

    def reach(upstream: str, qname: bytes, qtype: int) -> Deferred[bool]:
        """Ask one of them a question past everything else; fires whether any reply came."""

    def leave_out(upstream: str) -> None:
        """Ask it nothing but by `reach`, for as long as it stays among them."""

    def take_back(upstream: str) -> None:
        """End what `leave_out` began."""

    def watch(changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called once they are others than before; return what ends that."""


class IReadsFiles(Interface):
    """Reads files when it is started; ``--check`` has them read without a start."""

    def read_now() -> None:
        """Read them now; what a start would say about them is logged."""


class IStage(Interface):
    """Stands around everything below it in the plugin order. Hot."""

    def respond(question: Question, rest: Any) -> Answer | Deferred[Answer]:
        """Answer `question`; ``rest(question)`` asks everything below and returns the same kind.

        Call `rest` once, several times (autopath) or never (acl). `rest` never raises and never
        returns None: what went wrong below is an Answer with its `error` set. To change the
        question pass `question.changed(...)`: the Answer that comes back is safe to give to any
        question. `k8sdns.answers.SILENT` means that no reply is sent. Use
        `k8sdns.waiting.then` to go on with an Answer or a Deferred alike.
        """


class IObserver(Interface):
    """Sees every reply of its block just before it is sent. Hot."""

    def saw(question: Question, answer: Answer, elapsed: float, size: int) -> None:
        """Take note of one reply: `elapsed` in seconds, `size` its octets (0: none was sent).

        `question` is the client's own; exceptions are logged and go no further.
        """


class IFailureObserver(Interface):
    """Sees the replies whose Answer carries an error, and no others."""

    def saw_failure(question: Question, answer: Answer) -> None:
        """Take note of one; exceptions are logged and go no further."""


class IRepeatObserver(IObserver):
    """An observer that can be told of equal replies in bulk.

    A block whose observers all provide this may answer a datagram that it answered before without
    making question and answer anew.
    """

    def tally(question: Question, answer: Answer, size: int) -> Callable[[int], None] | None:
        """Return what takes the number of further replies equal to this one; None: nothing does.

        They differ from the one that was seen in id and client alone, and took no time to speak
        of. The number is told before each scrape and when the reply is no longer repeated.
        """


class IRefusalObserver(Interface):
    """Sees what the server answers outside every block: the REFUSED of no zone or no class. Hot."""

    def saw_refused(question: Question, answer: Answer, elapsed: float, size: int) -> None:
        """Take note of one such reply; one observer a kind of thing and server is asked."""


class IRotation(Interface):
    """Chooses which record of a rotatable answer comes first. Hot; one a block."""

    def first(question: Question, answer: Answer, count: int) -> int:
        """Return which of `count` interchangeable address records comes first, 0 to count - 1."""


class IReadiness(Interface):
    """Something that may not be ready yet; asked by `ready` and by the start of the server."""

    word = Attribute("The directive it speaks for (str).")

    def waits_for() -> str:
        """Return what is missing, in words for people; "" when ready."""


class ILookup(Interface):
    """Asks the whole server on behalf of a query: the listener's routing from its top."""

    def lookup(question: Question, qname: bytes, qtype: int) -> Answer | Deferred[Answer]:
        """Answer (qname, qtype) as if the client of `question` had asked it.

        `qname` is wire form in any case. Never raises; too deep a recursion is SERVFAIL.
        """


class IRouting(Interface):
    """Watches the choice of block: `view` says whether a query may enter. Hot where used."""

    name = Attribute("The view's name, for the `view` label of metrics (str).")

    def admits(question: Question) -> bool:
        """Tell whether the query may enter the block."""


class IMetadata(Interface):
    """Publishes labels about a query (`metadata` collects them before routing ends)."""

    def describe(question: Question, labels: dict[str, str]) -> None:
        """Add ``directive/label`` keys and their values to `labels`."""


class IMetadataCollector(Interface):
    """Collects the labels of its block's IMetadata. Hot where used."""

    sources = Attribute("What provides IMetadata in the block.")

    def labels(question: Question) -> dict[str, str] | None:
        """Return what is known about a query; None if nobody asked about its name."""


class ITransferable(Interface):
    """A source of zones that can be transferred whole (RFC 5936)."""

    def zone_serial(zone: bytes) -> int | None:
        """Return the serial of a zone that this source is authoritative for, else None."""

    def zone_records(zone: bytes) -> Iterator[Record]:
        """Yield the records of the zone, SOA first and SOA last."""

    def zones() -> tuple[bytes, ...]:
        """Return the zones it can transfer."""


class IClusterView(Interface):
    """The objects of a cluster as one directive shows them, for others of the block. Hot."""

    store = Attribute("The cluster's objects (`k8sdns.cluster.store.Store`).")
    tree = Attribute("Which of them are shown (`k8sdns.authorities.tree.ClusterTree`).")
    local_addresses = Attribute("The addresses that others reach this server by (tuple of str).")

    def waits_for() -> str:
        """Return which kinds of objects are not known yet, "" when all are."""


class ISearchPath(Interface):
    """Knows the search list of a client, for autopath."""

    def search_path(question: Question) -> tuple[bytes, ...]:
        """Return the suffixes that the client's resolver would try, in order; () if unknown."""


class IGate(Interface):
    """Something that serving waits for at the start, each by its own bound."""

    def opened() -> Deferred[None]:
        """Fire when serving may begin: synced, or waited long enough. Never fails."""


class ILeaving(Interface):
    """Something that is to be told first when the process is about to end."""

    def leave() -> Deferred[None] | None:
        """Say so to the world (not ready, lameduck); questions are still answered meanwhile."""


class IStreamSecurity(Interface):
    """Secures the streams of its block's listeners (`tls`)."""

    def secured(factory: Any) -> Any:
        """Return a factory whose connections are those of `factory` inside TLS."""


class ISink(Interface):
    """Where every source of cluster objects ends; the Store provides it."""

    def upsert(thing: Any) -> None:
        """Take a Service, EndpointSlice, Pod or Namespace; an equal object changes nothing."""

    def delete(kind: str, namespace: str, name: str) -> None:
        """Forget one object; an unknown key is nothing. A namespace's own `namespace` is ""."""

    def seen(kind: str, namespace: str, name: str) -> None:
        """One object exists but cannot be read, or is ending: what is known of it stays.

        In a listing it counts as named; an unknown key is nothing.
        """

    def listing(kind: str) -> None:
        """A full listing of `kind` begins: mark what is known."""

    def sweep(kind: str) -> bool:
        """Forget some of what a complete listing did not name; tell whether more of it is left.

        For sources that have a clock: `listed` sweeps the rest at once, which for tens of
        thousands of objects takes so long that questions wait.
        """

    def listed(kind: str) -> None:
        """The listing is complete: sweep what it did not name; `kind` is synced, and not stale.

        Without a `listing` before it nothing is swept: contact is back and nothing was missed.
        """

    def stale(kind: str) -> None:
        """Contact with the source was lost; what is known stays."""
