"""A copy of the DNS view of a cluster in one file: how it is written, proved and read.

Owns: the form of the file. Refuses to know when copies are made, and what they are good for.

The file is `MAGIC`, a BLAKE2b digest of all that follows, and frames: the length in 4 octets and
so much MessagePack. The first frame is the `Header`, each further one a kind and some of its
objects. It holds what answers are made of (names, addresses, ports) and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from k8sdns.cluster.model import (
    KINDS,
    Endpoint,
    EndpointSlice,
    Kind,
    Namespace,
    Pod,
    Port,
    Service,
    Thing,
)

MAGIC = b"k8sdns cluster copy 1\n"
DIGEST_OCTETS = 32
MAX_OCTETS = 1 << 30
FRAME_OBJECTS = 100
"""Objects a frame: one takes less than a millisecond."""

_LENGTH = struct.Struct("!I")
_LISTS: dict[Kind, Any] = {
    "services": list[Service],
    "endpointslices": list[EndpointSlice],
    "pods": list[Pod],
    "namespaces": list[Namespace],
}
_encode = msgspec.msgpack.Encoder().encode


class Header(msgspec.Struct, frozen=True):
    """When the copy was true, in Unix seconds; of which cluster and selectors; which fields."""

    true_at: float
    scope: str
    shape: str


class BadSnapshot(Exception):
    """The file is no copy, is damaged, or is a copy of something else."""


def _shape() -> str:
    """Return what changes with the fields of the objects: an older copy is not misread."""
    types: tuple[Any, ...] = (Service, EndpointSlice, Pod, Namespace, Endpoint, Port)
    text = [
        (each.__name__, [(field.name, str(field.type)) for field in msgspec.structs.fields(each)])
        for each in types
    ]
    return hashlib.blake2b(repr(text).encode(), digest_size=8).hexdigest()


SHAPE = _shape()


def frames(
    true_at: float, scope: str, kinds: Iterable[tuple[Kind, Iterable[Thing]]]
) -> Iterator[bytes]:
    """Yield the frames of a copy, each a short piece of work."""
    yield _frame(Header(true_at, scope, SHAPE))
    for kind, things in kinds:
        left = iter(things)
        while some := list(islice(left, FRAME_OBJECTS)):
            yield _frame((kind, some))


def _frame(content: object) -> bytes:
    octets = _encode(content)
    return _LENGTH.pack(len(octets)) + octets


def write(path: str, pieces: list[bytes]) -> None:
    """Write a copy in the place of `path`, whole or not at all; blocks. Raises OSError."""
    digest = hashlib.blake2b(digest_size=DIGEST_OCTETS)
    for piece in pieces:
        digest.update(piece)
    folder, name = os.path.split(path)
    # Beside the file, readable to us alone.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(MAGIC + digest.digest())
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read(path: str) -> bytes:
    """Return the proved frames of a copy; blocks. Raises OSError or `BadSnapshot`."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_OCTETS:
            raise BadSnapshot(f"it is larger than {MAX_OCTETS} octets")
        octets = file.read(MAX_OCTETS)
    head = len(MAGIC) + DIGEST_OCTETS
    if not octets.startswith(MAGIC) or len(octets) < head:
        raise BadSnapshot("it is no copy of a cluster that this version writes")
    digest = hashlib.blake2b(memoryview(octets)[head:], digest_size=DIGEST_OCTETS).digest()
    if digest != octets[len(MAGIC) : head]:
        raise BadSnapshot("its checksum is wrong")
    return octets[head:]


def header_of(octets: bytes) -> Header:
    """Return the header of proved frames; raises `BadSnapshot` for another version's."""
    try:
        header = msgspec.msgpack.decode(next(_cut(octets)), type=Header)
    except (StopIteration, struct.error, msgspec.DecodeError) as error:
        raise BadSnapshot(f"it has no header: {error}") from None
    if header.shape != SHAPE:
        raise BadSnapshot("another version wrote it")
    return header


def objects_of(octets: bytes) -> Iterator[tuple[Kind, list[Thing]]]:
    """Yield the objects of proved frames, each time those of one frame."""
    pair = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode
    decode: dict[str, Callable[[msgspec.Raw], Any]] = {
        kind: msgspec.msgpack.Decoder(_LISTS[kind]).decode for kind in KINDS
    }
    pieces = _cut(octets)
    next(pieces)
    for piece in pieces:
        try:
            word, things = pair(piece)
            kind: Any = word
            found = decode[kind](things)
        except (KeyError, msgspec.DecodeError) as error:
            raise BadSnapshot(f"it cannot be read: {error}") from None
        yield kind, found


def _cut(octets: bytes) -> Iterator[memoryview]:
    view, at = memoryview(octets), 0
    while at < len(view):
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        yield view[at : at + length]
        at += length
