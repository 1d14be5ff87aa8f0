"""A stub resolver that asks again over TCP where a reply was truncated (RFC 7766 §5).

    python benchmarks/retry.py HOST PORT QUERIES SECONDS

Prints how many questions were answered, how many were not, and the seconds that took.
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

TC = 0x02
TYPES = {"A": 1, "AAAA": 28, "SRV": 33}


def query(line: str) -> bytes:
    """Return the message that asks for a line of a query file, without EDNS."""
    name, qtype = line.split()
    labels = b"".join(bytes((len(each),)) + each.encode() for each in name.split("."))
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0" + TYPES[qtype].to_bytes(2, "big") + b"\0\1"


def ask_stream(address: tuple[str, int], message: bytes) -> bytes:
    """Ask over a connection of its own."""
    with socket.create_connection(address, timeout=2) as stream:
        stream.sendall(len(message).to_bytes(2, "big") + message)
        with stream.makefile("rb") as reading:
            return reading.read(int.from_bytes(reading.read(2), "big"))


def main(host: str, port: str, queries: str, seconds: str) -> None:
    """Ask one question after another."""
    address = (host, int(port))
    messages = [query(line) for line in Path(queries).read_text().splitlines()]
    answered = lost = 0
    begin = time.perf_counter()
    end = begin + float(seconds)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect(address)
        while time.perf_counter() < end:
            message = messages[(answered + lost) % len(messages)]
            try:
                sock.send(message)
                reply = sock.recv(4096)
                if reply[2] & TC:
                    reply = ask_stream(address, message)
                answered += bool(reply[7])
                lost += not reply[7]
            except OSError:
                lost += 1
    print(answered, lost, time.perf_counter() - begin)


if __name__ == "__main__":
    main(*sys.argv[1:])
