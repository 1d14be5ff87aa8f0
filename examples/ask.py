"""Ask a name server one question: ``ask.py NAME TYPE PORT``; for machines without dig."""

import sys

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

name, qtype, port = sys.argv[1:]
try:
    query = dns.message.make_query(name, qtype)
    print(dns.query.udp(query, "127.0.0.1", port=int(port), timeout=5))
except (dns.rdatatype.UnknownRdatatype, dns.exception.SyntaxError):
    sys.exit(f"{qtype} is no type of records: A, AAAA, SRV, PTR, TXT ... are")
except (OSError, dns.exception.Timeout):
    sys.exit(f"nobody answers on port {port}: start the server first (make run)")
except dns.exception.DNSException as error:
    sys.exit(f"{name}: {error}")
