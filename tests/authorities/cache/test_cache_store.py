"""What the cache holds on to: bounded, and what is asked for stays."""

from __future__ import annotations

from hypothesis import given, strategies as st

from k8sdns import names, records
from k8sdns.answers import AD, Answer, Question
from k8sdns.authorities.cache.entry import Entry, with_ttl
from k8sdns.authorities.cache.judgement import Keep
from k8sdns.authorities.cache.settings import CacheSettings, Shelf
from k8sdns.authorities.cache.store import CacheStore
from k8sdns.authorities.rendered import ttl_places


def entry(number, keep=Keep.SUCCESS, answers=1, ttl=60.0, tag=1, **arguments):
    qname = names.from_text(f"n{number}.example")
    question = Question(qname)
    found = tuple(records.address(qname, f"192.0.2.{n}", 300) for n in range(1, answers + 1))
    answer = Answer(found, **arguments)
    rendered = answer.rendered(question)
    places = ttl_places(rendered)
    return Entry((qname, records.A, tag << 32), keep, answer, rendered, places, ttl, now=100.0)


actions = st.lists(
    st.tuples(
        st.sampled_from(["put", "get"]),
        st.integers(0, 12),
        st.sampled_from([Keep.SUCCESS, Keep.DENIAL, Keep.FAILURE]),
        st.integers(1, 30),
    ),
    max_size=60,
)


@given(actions=actions, capacity=st.integers(1, 6), octets=st.integers(1000, 9000))
def test_bounds_hold_and_a_key_has_one_entry(actions, capacity, octets):
    shelf = Shelf(capacity=capacity, octets=octets)
    store = CacheStore(CacheSettings(success=shelf, denial=shelf))
    for action, number, keep, answers in actions:
        made = entry(number, keep, answers)
        if action == "put":
            store.put(made)
            assert store.get(made.key) in (made, None)
            assert store.get(made.key) is made or made.size > octets
        else:
            found = store.get(made.key)
            if found is not None:
                found.is_wanted = True
        for shelved in (store.success, store.denial):
            assert len(shelved.entries) <= capacity
            assert shelved.octets == sum(each.size for each in shelved.entries.values()) <= octets
        assert not store.success.entries.keys() & store.denial.entries.keys()


def test_a_flood_of_names_asked_once_does_not_put_out_what_is_asked_often():
    store = CacheStore(CacheSettings(success=Shelf(capacity=100)))
    often = [entry(number) for number in range(20)]
    for each in often:
        store.put(each)
    for number in range(1000, 3000):
        store.put(entry(number))
        for each in often:
            each.is_wanted = True
    assert all(store.get(each.key) is each for each in often)
    assert store.success.evictions == 2020 - 100


def test_an_entry_ages_and_is_one_object_within_a_second():
    kept = entry(1)
    shown = kept.shown(100.0, False)
    assert shown.answer[0].ttl == 60
    assert kept.shown(100.0, False) is shown
    assert kept.shown(100.9, False).answer[0].ttl == 60
    assert kept.shown(101.1, False).answer[0].ttl == 59
    assert kept.shown(159.9, False).answer[0].ttl == 1
    assert shown.answer[0].ttl == 60, "an answer that was given is never changed"


def test_ad_is_for_those_who_want_it():
    kept = entry(1, ad=True)
    assert not kept.shown(100.0, False).flags & AD
    assert kept.shown(100.0, True).flags & AD
    assert not kept.shown(100.0, False).flags & AD


def test_answers_of_one_authority_are_none_of_anothers():
    store = CacheStore(CacheSettings())

    class Remote:
        pass

    first, second = Remote(), Remote()
    assert store.tag_of(first) == store.tag_of(first) != store.tag_of(second)


@given(ttl=st.integers(0, 2**31 - 1), answers=st.integers(0, 5))
def test_every_record_gets_the_ttl(ttl, answers):
    qname = names.from_text("n.example")
    question = Question(qname)
    found = tuple(records.address(qname, f"192.0.2.{n}", 7) for n in range(answers))
    rendered = Answer(found).rendered(question)
    aged = with_ttl(rendered, ttl_places(rendered), ttl)
    assert len(aged.body) == len(rendered.body)
    assert [aged.body[at : at + 4] for at in ttl_places(aged)] == [ttl.to_bytes(4, "big")] * answers
