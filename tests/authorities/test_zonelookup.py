"""What a zone says: by tables against RFC 1034, 4592, 6672, and by a naive oracle for any zone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from k8sdns import names, records
from k8sdns.answers import Answer
from k8sdns.authorities.rrtext import record_from_text
from k8sdns.authorities.zone import Zone
from k8sdns.authorities.zonelookup import MAX_ALIASES, YXDOMAIN, ZoneAnswers
from k8sdns.records import Record

ORIGIN = names.from_text("example.org")
LONG = ".".join(["x" * 60] * 3)
ZONE = f"""
example.org. 3600 SOA ns1.example.org. admin.example.org. 7 7200 3600 1209600 600
example.org. 3600 NS ns1.example.org.
example.org. 3600 NS ns2.example.net.
example.org. 3600 MX 10 mail.example.org.
ns1.example.org. 3600 A 192.0.2.2
mail.example.org. 3600 A 192.0.2.3
mail.example.org. 3600 AAAA 2001:db8::3
web.example.org. 3600 A 192.0.2.4
www.example.org. 3600 CNAME web.example.org.
www2.example.org. 3600 CNAME www.example.org.
gone.example.org. 3600 CNAME none.example.org.
v4.example.org. 3600 CNAME web.example.org.
ext.example.org. 3600 CNAME www.example.com.
ring1.example.org. 3600 CNAME ring2.example.org.
ring2.example.org. 3600 CNAME ring1.example.org.
*.wild.example.org. 3600 A 192.0.2.7
*.wild.example.org. 3600 TXT "star"
fixed.wild.example.org. 3600 A 192.0.2.8
deep.fixed.wild.example.org. 3600 A 192.0.2.8
*.alias.example.org. 3600 CNAME web.example.org.
host.*.half.example.org. 3600 A 192.0.2.20
deep.mid.ent.example.org. 3600 A 192.0.2.9
_ldap._tcp.example.org. 3600 SRV 0 5 389 mail.example.org.
https.example.org. 3600 HTTPS 1 . alpn=h2
https.example.org. 3600 A 192.0.2.21
sub.example.org. 3600 NS ns.sub.example.org.
sub.example.org. 3600 DS 1 8 2 {"ab" * 32}
ns.sub.example.org. 3600 A 192.0.2.10
hidden.sub.example.org. 3600 A 192.0.2.66
into.example.org. 3600 CNAME host.sub.example.org.
old.example.org. 3600 DNAME new.example.org.
x.old.example.org. 3600 A 192.0.2.66
a.new.example.org. 3600 A 192.0.2.11
away.example.org. 3600 DNAME example.com.
long.example.org. 3600 DNAME {LONG}.example.org.
"""


def zone_from(text: str) -> Zone:
    return Zone(ORIGIN, [record_from_text(line) for line in text.strip().splitlines()])


ANSWERS = ZoneAnswers(zone_from(ZONE), "file")


def ask(qname: str, qtype: str, *, do: bool = False, answers: ZoneAnswers = ANSWERS):
    return answers.resolve(names.from_text(qname + ".example.org" if qname else "example.org"),
                           records.TYPES[qtype], do=do)  # fmt: skip


def lines(section: tuple[Record, ...]) -> list[str]:
    """Sections as ``owner TYPE rdata``, names relative to the zone."""
    return [
        f"{names.to_text(r.owner).removesuffix('.example.org.')} "
        f"{records.type_name(r.rtype)} {records.rdata_text(r).replace('.example.org.', '')}"
        for r in section
    ]


APEX_NS = ["example.org. NS ns1", "example.org. NS ns2.example.net."]
SOA = ["example.org. SOA ns1 admin 7 7200 3600 1209600 600"]


@pytest.mark.parametrize(
    ("qname", "qtype", "answer", "additional"),
    [
        ("web", "A", ["web A 192.0.2.4"], []),
        ("web", "ANY", ["web A 192.0.2.4"], []),
        ("", "MX", ["example.org. MX 10 mail"], ["mail A 192.0.2.3", "mail AAAA 2001:db8::3"]),
        ("", "SOA", SOA, []),
        ("www", "A", ["www CNAME web", "web A 192.0.2.4"], []),
        ("www", "CNAME", ["www CNAME web"], []),
        ("www2", "A", ["www2 CNAME www", "www CNAME web", "web A 192.0.2.4"], []),
        ("_ldap._tcp", "SRV", ["_ldap._tcp SRV 0 5 389 mail"],
         ["mail A 192.0.2.3", "mail AAAA 2001:db8::3"]),
        ("https", "HTTPS", ["https HTTPS \\# 10 00010000010003026832"],
         ["https A 192.0.2.21"]),
        # Wildcards (RFC 4592): the closest encloser decides.
        ("x.wild", "A", ["x.wild A 192.0.2.7"], []),
        ("x.y.wild", "A", ["x.y.wild A 192.0.2.7"], []),
        ("x.wild", "TXT", ['x.wild TXT \\# 5 0473746172'], []),
        ("*.wild", "A", ["*.wild A 192.0.2.7"], []),
        ("fixed.wild", "A", ["fixed.wild A 192.0.2.8"], []),
        ("q.alias", "A", ["q.alias CNAME web", "web A 192.0.2.4"], []),
        ("old", "DNAME", ["old DNAME new"], []),
        # DNAME (RFC 6672 §3): what is below it is occluded.
        ("a.old", "A", ["old DNAME new", "a.old CNAME a.new", "a.new A 192.0.2.11"], []),
    ],
)  # fmt: skip
def test_positive_answers_carry_the_apex_name_servers(qname, qtype, answer, additional):
    found = ask(qname, qtype)
    assert lines(found.answer.answer) == answer
    assert lines(found.answer.authority) == APEX_NS
    assert lines(found.answer.additional) == additional
    assert (found.answer.rcode, found.answer.aa, found.outside) == (records.NOERROR, True, None)
    assert found.answer.source == "file"


def test_the_name_servers_of_the_apex_are_not_repeated():
    found = ask("", "NS").answer
    assert lines(found.answer) == APEX_NS
    assert found.authority == ()
    assert lines(found.additional) == ["ns1 A 192.0.2.2"]


@pytest.mark.parametrize(
    ("qname", "qtype", "rcode", "answer"),
    [
        ("none", "A", records.NXDOMAIN, []),
        ("x.web", "A", records.NXDOMAIN, []),
        ("x.fixed.wild", "A", records.NXDOMAIN, []),  # fixed.wild exists: no wildcard above it
        ("x.ent", "A", records.NXDOMAIN, []),
        ("gone", "A", records.NXDOMAIN, ["gone CNAME none"]),  # RFC 6604 §3
        ("x.old", "A", records.NXDOMAIN, ["old DNAME new", "x.old CNAME x.new"]),
        ("web", "AAAA", records.NOERROR, []),
        ("fixed.wild", "TXT", records.NOERROR, []),
        ("x.wild", "AAAA", records.NOERROR, []),
        ("wild", "A", records.NOERROR, []),
        ("ent", "A", records.NOERROR, []),
        ("mid.ent", "TXT", records.NOERROR, []),
        ("x.half", "A", records.NOERROR, []),  # *.half is an empty non-terminal
        ("v4", "AAAA", records.NOERROR, ["v4 CNAME web"]),
        ("", "AAAA", records.NOERROR, []),
        ("", "DS", records.NOERROR, []),
    ],
)
def test_denials_carry_the_soa(qname, qtype, rcode, answer):
    found = ask(qname, qtype).answer
    assert (found.rcode, found.aa) == (rcode, True)
    assert lines(found.answer) == answer
    assert lines(found.authority) == SOA
    assert found.authority[0].ttl == 3600
    assert found.additional == ()


@pytest.mark.parametrize("qname", ["sub", "host.sub", "hidden.sub", "a.b.hidden.sub"])
@pytest.mark.parametrize("qtype", ["A", "NS", "TXT", "ANY"])
def test_at_and_below_a_cut_there_are_referrals_with_glue(qname, qtype):
    found = ask(qname, qtype).answer
    assert (found.rcode, found.aa, found.answer) == (records.NOERROR, False, ())
    assert lines(found.authority) == ["sub NS ns.sub"]
    assert lines(found.additional) == ["ns.sub A 192.0.2.10"]


def test_the_parent_answers_for_ds_at_the_cut_but_not_below():
    found = ask("sub", "DS").answer
    assert [r.rtype for r in found.answer] == [records.DS]
    assert found.aa
    assert not ask("ns.sub", "DS").answer.aa


def test_an_alias_into_a_delegated_zone_ends_in_its_referral():
    found = ask("into", "A").answer
    assert lines(found.answer) == ["into CNAME host.sub"]
    assert lines(found.authority) == ["sub NS ns.sub"]
    assert found.aa


@pytest.mark.parametrize(
    ("qname", "answer", "outside"),
    [
        ("ext", ["ext CNAME www.example.com."], "www.example.com"),
        ("a.b.away", ["away DNAME example.com.", "a.b.away CNAME a.b.example.com."],
         "a.b.example.com"),
    ],
)  # fmt: skip
def test_an_alias_to_the_outside_says_where_to_go_on(qname, answer, outside):
    found = ask(qname, "A")
    assert lines(found.answer.answer) == answer
    assert found.outside == names.from_text(outside)
    assert lines(found.answer.authority) == APEX_NS


def test_a_ring_of_aliases_ends():
    found = ask("ring1", "A").answer
    assert found.rcode == records.NOERROR
    assert 0 < len(found.answer) <= MAX_ALIASES + 1


def test_a_dname_that_makes_a_name_too_long_is_yxdomain():
    found = ask("y" * 60 + ".long", "A").answer
    assert found.rcode == YXDOMAIN
    assert lines(found.answer) == [f"long DNAME {LONG}"]


@pytest.mark.parametrize(
    ("qname", "is_missing"),
    [("none", True), ("ent", True), ("web", False), ("x.wild", False), ("gone", False)],
)
def test_only_names_without_anything_are_missing(qname, is_missing):
    assert ask(qname, "TXT").is_missing is is_missing


def test_a_flood_of_invented_names_and_types_costs_no_memory():
    answers = ZoneAnswers(zone_from(ZONE))
    first = answers.resolve(names.from_text("n0.example.org"), records.A).answer
    for n in range(200):
        assert answers.resolve(names.from_text(f"n{n}.example.org"), records.A).answer is first
        answers.resolve(names.from_text(f"n{n}.wild.example.org"), records.A)
        answers.resolve(names.from_text("web.example.org"), 1000 + n)
    assert not answers._known


SIGNATURE = "8 2 3600 20300101000000 20200101000000 1 example.org. AAAA"
SIGNED = f"""
example.org. 60 SOA ns1.example.org. admin.example.org. 7 7200 3600 1209600 600
example.org. 60 RRSIG SOA {SIGNATURE}
example.org. 60 NS ns1.example.org.
example.org. 60 RRSIG NS {SIGNATURE}
example.org. 60 NSEC *.s.example.org. NS SOA RRSIG NSEC
example.org. 60 RRSIG NSEC {SIGNATURE}
*.s.example.org. 60 A 192.0.2.1
*.s.example.org. 60 RRSIG A {SIGNATURE}
*.s.example.org. 60 NSEC sub.example.org. A RRSIG NSEC
sub.example.org. 60 NS ns1.example.com.
sub.example.org. 60 NSEC web.example.org. NS RRSIG NSEC
web.example.org. 60 A 192.0.2.4
web.example.org. 60 RRSIG A {SIGNATURE}
web.example.org. 60 NSEC example.org. A RRSIG NSEC
"""


def kinds(answer: Answer) -> tuple[list[str], list[str]]:
    """Types, and owners of NSEC, by section."""

    def said(section):
        return [
            names.to_text(r.owner).removesuffix("example.org.") + "NSEC"
            if r.rtype == records.NSEC
            else records.type_name(r.rtype)
            for r in section
        ]

    return said(answer.answer), said(answer.authority)


@pytest.mark.parametrize(
    ("qname", "qtype", "answer", "authority"),
    [
        ("web", "A", ["A", "RRSIG"], ["NS", "RRSIG"]),
        ("web", "TXT", [], ["SOA", "RRSIG", "web.NSEC"]),
        ("none", "A", [], ["SOA", "RRSIG", "NSEC", "RRSIG"]),
        ("zzz", "A", [], ["SOA", "RRSIG", "web.NSEC", "NSEC", "RRSIG"]),
        ("q.s", "A", ["A", "RRSIG"], ["NS", "RRSIG", "*.s.NSEC"]),
        ("q.s", "TXT", [], ["SOA", "RRSIG", "*.s.NSEC"]),
        ("sub", "A", [], ["NS", "sub.NSEC"]),
        ("web", "RRSIG", ["RRSIG"], ["NS", "RRSIG"]),
    ],
)
def test_signatures_and_proofs_are_given_to_who_asks_for_them(qname, qtype, answer, authority):
    answers = ZoneAnswers(zone_from(SIGNED))
    assert kinds(ask(qname, qtype, do=True, answers=answers).answer) == (answer, authority)
    plain = ask(qname, qtype, answers=answers).answer
    if qtype != "RRSIG":
        assert records.RRSIG not in {r.rtype for r in plain.answer + plain.authority}


# The oracle: names are tuples of labels, the zone is a list; everything is looked for by scanning.

LABELS = st.sampled_from([b"a", b"b", b"*"])
BELOW = st.lists(LABELS, min_size=0, max_size=3).map(tuple)
RDATA_TYPES = ["A", "TXT", "NS", "CNAME", "DNAME"]
ENTRIES = st.lists(st.tuples(BELOW, st.sampled_from(RDATA_TYPES), BELOW, st.booleans()), max_size=8)


def wire(labels: tuple[bytes, ...], *, inside: bool = True) -> bytes:
    return names.from_labels(labels, ORIGIN if inside else names.from_text("example.com"))


def oracle_zone(entries) -> list[tuple[tuple[bytes, ...], int, bytes]]:
    zone = {((), records.SOA, b""), ((), records.NS, wire((b"ns",), inside=False))}
    for owner, kind, target, inside in entries:
        rtype = records.TYPES[kind]
        if rtype in {records.CNAME, records.DNAME} and any(
            o == owner and (t != records.NS or not owner) for o, t, _ in zone
        ):
            continue  # singletons beside other data are no zone's business here
        if any(o == owner and t in {records.CNAME, records.DNAME} for o, t, _ in zone):
            continue
        rdata = wire(target, inside=inside) if rtype not in {records.A, records.TXT} else b"\x01x"
        zone.add((owner, rtype, rdata))
    return sorted(zone)


def oracle_step(zone, qname, qtype):
    """One pass of RFC 1034 §4.3.2 step 3; returns (verdict, owner labels of the data)."""
    owners = {o for o, _, _ in zone}

    def has(owner, rtype):
        return any(o == owner and t == rtype for o, t, _ in zone)

    def exists(name):
        return any(o[len(o) - len(name) :] == name for o in owners if len(o) >= len(name))

    for n in range(len(qname) + 1):
        name = qname[len(qname) - n :]
        if not exists(name):
            break
        if n and has(name, records.NS) and not (name == qname and qtype == records.DS):
            return "referral", name
        if name != qname and has(name, records.DNAME):
            return "dname", name
    if exists(qname):
        return "data", qname
    encloser = next(qname[i:] for i in range(len(qname) + 1) if exists(qname[i:]))
    star = (b"*", *encloser)
    return ("data", star) if exists(star) else ("nxdomain", encloser)


def oracle(zone, qname, qtype):
    """Return (rcode or "referral", how many answers, where the chain leaves the zone)."""
    count = 0
    for _ in range(MAX_ALIASES + 1):
        verdict, owner = oracle_step(zone, qname, qtype)
        if verdict == "nxdomain":
            return records.NXDOMAIN, count, None
        if verdict == "referral":
            return "referral", count, None
        here = [(t, r) for o, t, r in zone if o == owner]
        if verdict == "dname":
            count += 2
            target = next(r for t, r in here if t == records.DNAME)
            target = names.from_labels(qname[: len(qname) - len(owner)], target)
        else:
            cnames = [r for t, r in here if t == records.CNAME]
            if not cnames or qtype == records.CNAME:
                return records.NOERROR, count + sum(t == qtype for t, _ in here), None
            count += 1
            target = cnames[0]
        if not names.is_subdomain(target, ORIGIN):
            return records.NOERROR, count, target
        qname = tuple(names.labels_of(target)[:-2])
    return records.NOERROR, count, None


@settings(max_examples=400, deadline=None)
@given(ENTRIES, BELOW, st.sampled_from([*RDATA_TYPES, "AAAA", "DS"]))
def test_any_zone_says_what_a_naive_reading_of_the_rfcs_says(entries, qname, kind):
    naive = oracle_zone(entries)
    qtype = records.TYPES[kind]
    soa = record_from_text(ZONE.strip().splitlines()[0])
    made = [soa] + [Record(wire(o), t, 60, r) for o, t, r in naive if t != records.SOA]
    found = ZoneAnswers(Zone(ORIGIN, made)).resolve(wire(qname), qtype)
    rcode, count, outside = oracle(naive, qname, qtype)
    is_referral = any(r.rtype == records.NS and r.owner != ORIGIN for r in found.answer.authority)
    assert ("referral" if is_referral else found.answer.rcode) == rcode
    assert len(found.answer.answer) == count
    assert found.outside == outside
