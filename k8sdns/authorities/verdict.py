"""What an Answer amounts to: an answer, a denial, a referral, a failure.

Owns: CoreDNS's classes of replies (plugin/pkg/response), which `log` filters by and `minimal`
acts on. Refuses to know what is done about them.
"""

from __future__ import annotations

from k8sdns import records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.transfer import TRANSFER_TYPES

_NOTIFY = 4

NOERROR = "NOERROR"
NODATA = "NODATA"
NXDOMAIN = "NXDOMAIN"
DELEGATION = "DELEGATION"
SERVERERROR = "SERVERERROR"
OTHERERROR = "OTHERERROR"
META = "META"

SUCCESS, DENIAL, ERROR = "success", "denial", "error"
_CLASSES = {NOERROR: SUCCESS, DELEGATION: SUCCESS, NODATA: DENIAL, NXDOMAIN: DENIAL}


def verdict(question: Question, answer: Answer) -> str:
    """Return what the reply is, by CoreDNS's rules in their order; signatures are not judged."""
    if question.opcode == _NOTIFY or question.qtype in TRANSFER_TYPES:
        return META
    rcode = answer.rcode
    if answer.answer and rcode in {records.NOERROR, records.NXDOMAIN}:
        return NOERROR if rcode == records.NOERROR else OTHERERROR
    if rcode == records.NXDOMAIN:
        return NXDOMAIN
    if rcode in {records.SERVFAIL, records.NOTIMP}:
        return SERVERERROR
    if rcode != records.NOERROR:
        return OTHERERROR
    types = {record.rtype for record in answer.authority}
    if records.SOA in types:
        return NODATA
    return DELEGATION if records.NS in types else NOERROR


def class_of(verdict_: str) -> str:
    """Return the class of a verdict: success, denial or error."""
    return _CLASSES.get(verdict_, ERROR)
