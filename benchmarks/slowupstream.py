"""``slowupstream.py PORT MILLISECONDS``: a name server that answers everything, so much later."""

from __future__ import annotations

import collections
import select
import socket
import sys
import time

RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"


def main() -> None:
    """Answer with one address until ended."""
    port, delay = int(sys.argv[1]), float(sys.argv[2]) / 1000
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    sock.bind(("127.0.0.1", port))
    sock.setblocking(False)
    due: collections.deque[tuple[float, bytes, tuple[str, int]]] = collections.deque()
    while True:
        wait = max(0.0, due[0][0] - time.monotonic()) if due else None
        if select.select([sock], [], [], wait)[0]:
            for _ in range(100):
                try:
                    query, address = sock.recvfrom(4096)
                except BlockingIOError:
                    break
                due.append((time.monotonic() + delay, reply(query), address))
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, octets, address = due.popleft()
            sock.sendto(octets, address)


def reply(query: bytes) -> bytes:
    """Return the answer to a query: its question, and one address."""
    end = query.index(b"\0", 12) + 5
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] + RECORD


if __name__ == "__main__":
    main()
