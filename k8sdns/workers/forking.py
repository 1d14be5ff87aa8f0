"""The nursery's own side: a process that has imported everything and does nothing but fork.

Owns the loop that takes orders and forks. A forked child is there in milliseconds, where a new
process has to import for most of a second; and it shares the memory of what was imported with its
siblings. There must be no reactor and no thread before a fork: a nursery that is itself a fork of
the parent begins by forgetting those. Refuses to know what children do.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import runpy
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn

import twisted.internet
from twisted.logger import Logger

from k8sdns import logs
from k8sdns.workers.control import Born, Fork, Order, decode_order, encode

log = Logger()

CONTROL: Final = 3  # the descriptor of the nursery's end of its channel
MODULE: Final = "k8sdns.child"

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_PR_SET_NAME: Final = 15
_LENGTH: Final = struct.Struct("!I")
_MOST_AT_ONCE: Final = 32


def become(control: socket.socket, words: Sequence[str]) -> NoReturn:
    """Turn a fork of the parent into the nursery, as if a Python had been started for it.

    What the parent had opened is closed by number. Its objects stay, held by the frames below
    this one, so that none of them is ever finalized, and closes a number that is another's by then.
    """
    try:
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(control.fileno(), CONTROL)
        _close_above(CONTROL)
        # A child installs a reactor of its own.
        sys.modules.pop("twisted.internet.reactor", None)
        vars(twisted.internet).pop("reactor", None)
        sys.argv[1:] = words
        runpy.run_module(MODULE, run_name="__main__")
    except BaseException:  # noqa: BLE001 - whatever it is, the parent's code must not go on here
        log.failure("The process that children are forked from could not begin")
        logs.flush()
    finally:
        os._exit(1)


def _close_above(last: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > last:
            with contextlib.suppress(OSError):  # the one that the list was read from
                os.close(int(name))


def forks(control: socket.socket) -> tuple[str, socket.socket]:
    """Fork as ordered; returns in every child, with its role and its channel.

    Does not return in the nursery, which ends when its parent closes `control`.
    """
    die_with_parent()
    _call_process("nursery")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; the parent sees the channel
    gc.collect()
    gc.freeze()
    channels: deque[socket.socket] = deque()
    for order in _orders(control, channels):
        if not isinstance(order, Fork):
            continue
        with channels.popleft() as channel:
            pid = os.fork()
            if pid == 0:
                control.close()
                return order.role, _as_child(order.role, channel)
        message = encode(Born(order.number, pid))
        control.sendall(_LENGTH.pack(len(message)) + message)
    os._exit(0)


def _orders(control: socket.socket, channels: deque[socket.socket]) -> Iterator[Order]:
    """Yield what the parent says; descriptors that came are in `channels` before."""
    buffer = b""
    while True:
        octets, descriptors, _flags, _address = socket.recv_fds(control, 65536, _MOST_AT_ONCE)
        channels.extend(socket.socket(fileno=each) for each in descriptors)
        if not octets:
            return
        buffer += octets
        while len(buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
            if len(buffer) < end:
                break
            yield decode_order(buffer[_LENGTH.size : end])
            buffer = buffer[end:]


def _as_child(role: str, channel: socket.socket) -> socket.socket:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    _call_process(role)
    mine = channel.dup()
    mine.setblocking(False)
    return mine


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, even while it hangs (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _call_process(role: str) -> None:
    """Let ps and top say what this process is for."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, f"k8sdns-{role}".encode())
