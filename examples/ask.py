"""Ask a name server one question: ``ask.py NAME TYPE PORT``; for machines without dig."""

import sys

import dns.message
import dns.query

name, qtype, port = sys.argv[1:]
reply = dns.query.udp(dns.message.make_query(name, qtype), "127.0.0.1", port=int(port), timeout=5)
print(reply)
