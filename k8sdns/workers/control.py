"""What a parent and its children say to each other, and the connection that carries it.

Owns: the messages, their frames, and the sockets that travel with them (SCM_RIGHTS, unix(7)).
Refuses to know what the messages bring about.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns.corefile.parser import Corefile
from k8sdns.metrics import Labels, Metric
from k8sdns.server.sockets import ListenAddress

MAX_FRAME_OCTETS: Final = 64 * 1024 * 1024


class Place(msgspec.Struct, frozen=True):
    """The sockets of one listener for one worker.

    With it travel, for each address, its stream socket and, where `has_datagrams`, its datagram
    socket.
    """

    scheme: str
    host: str
    port: int
    addresses: tuple[ListenAddress, ...]
    has_datagrams: bool

    @property
    def sockets(self) -> int:
        """How many sockets travel with it."""
        return len(self.addresses) * (1 + self.has_datagrams)


class Wanted(msgspec.Struct, frozen=True):
    """What is to be served: a Corefile with imports and variables put in.

    Nothing of it is read again: all processes serve the same, whatever happens to the files.
    """

    corefile: Corefile
    default_port: int
    folder: str
    name: str
    path: str | None
    places: tuple[Place, ...] = ()  # whose sockets come along


class Start(msgspec.Struct, frozen=True, tag=1):
    """Serve this; `version` is the parent's."""

    wanted: Wanted
    version: str


class Prepare(msgspec.Struct, frozen=True, tag=2):
    """Build this, and serve it once it is committed."""

    number: int
    wanted: Wanted


class Commit(msgspec.Struct, frozen=True, tag=3):
    """Everybody is prepared: serve it."""

    number: int


class Abort(msgspec.Struct, frozen=True, tag=4):
    """Somebody is not: go on with the old."""

    number: int


class Join(msgspec.Struct, frozen=True, tag=5):
    """A socket comes along that joins a worker and the feeder."""


class Stop(msgspec.Struct, frozen=True, tag=6):
    """Stop answering, close everything, end."""


class Beat(msgspec.Struct, frozen=True, tag=20):
    """The event loop runs: `asked` queries came, and these words are not ready, for a reason."""

    asked: int
    waits_for: tuple[tuple[str, str], ...]


class Joined(msgspec.Struct, frozen=True, tag=27):
    """The socket of a `Join` is here."""


class Serving(msgspec.Struct, frozen=True, tag=21):
    """What was to be started is started."""


class Failed(msgspec.Struct, frozen=True, tag=22):
    """It could not be started; the process ends."""

    message: str


class Prepared(msgspec.Struct, frozen=True, tag=23):
    """What was to be prepared is prepared."""

    number: int


class Refused(msgspec.Struct, frozen=True, tag=24):
    """It could not be prepared; the old goes on."""

    number: int
    message: str


class Halt(msgspec.Struct, frozen=True, tag=25):
    """Serving makes no sense: end everything."""

    message: str


class Counted(msgspec.Struct, frozen=True, tag=26):
    """What was counted since the last time, and how gauges stand."""

    counters: tuple[tuple[Metric, tuple[tuple[Labels, float], ...]], ...]
    gauges: tuple[tuple[Metric, tuple[tuple[Labels, float], ...]], ...]
    histograms: tuple[tuple[Metric, tuple[tuple[Labels, tuple[int, ...], float], ...]], ...]


class Fork(msgspec.Struct, frozen=True, tag=7):
    """To the nursery: a channel's end comes along, for a new process of this role."""

    number: int
    role: str


class Born(msgspec.Struct, frozen=True, tag=30):
    """From the nursery: the process that was asked for runs."""

    number: int
    pid: int


Order: TypeAlias = Start | Prepare | Commit | Abort | Join | Stop | Fork
Report: TypeAlias = Beat | Joined | Serving | Failed | Prepared | Refused | Halt | Counted | Born

encode: Final[Callable[[Order | Report], bytes]] = msgspec.msgpack.Encoder().encode
decode_order: Final[Callable[[bytes], Order]] = msgspec.msgpack.Decoder(Order).decode
decode_report: Final[Callable[[bytes], Report]] = msgspec.msgpack.Decoder(Report).decode


@implementer(IFileDescriptorReceiver)
class Channel(Int32StringReceiver):
    """One end of the connection between a parent and a child.

    `heard(message)` is told of each message, `lost()` of the end. `received` holds the descriptors
    that came and that nobody took yet; they come no later than the message that is about them.
    """

    MAX_LENGTH = MAX_FRAME_OCTETS

    def __init__(
        self, is_parent: bool, heard: Callable[[Any], None], lost: Callable[[], None]
    ) -> None:
        self._decode: Callable[[bytes], Any] = decode_report if is_parent else decode_order
        self._heard = heard
        self._lost = lost
        self.received: deque[int] = deque()
        self._is_open = False

    def connectionMade(self) -> None:
        """The other end can be spoken to."""
        self._is_open = True

    def say(self, message: Order | Report, descriptors: Sequence[int] = ()) -> None:
        """Send a message and the sockets that it is about; keep them open until it has arrived."""
        transport: Any = self.transport
        if not self._is_open:
            return
        for descriptor in descriptors:
            transport.sendFileDescriptor(descriptor)
        self.sendString(encode(message))  # type: ignore[no-untyped-call]

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Keep it for the message that follows."""
        self.received.append(descriptor)

    def stringReceived(self, string: bytes) -> None:
        """Take one message."""
        self._heard(self._decode(string))

    def connectionLost(self, _reason: Failure = connectionDone) -> None:
        """The other end is gone."""
        self._is_open = False
        self._lost()


class ChannelFactory(Factory):
    """Gives a connection that exists the channel that was made for it."""

    noisy = False

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def buildProtocol(self, _address: Any) -> Channel:
        """Return the channel."""
        return self._channel
