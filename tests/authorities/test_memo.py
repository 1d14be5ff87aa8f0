"""Remembered Answers: bounded, current while they are remembered, and never gone at once."""

from __future__ import annotations

from hypothesis import given, strategies as st

from k8sdns.answers import Answer
from k8sdns.authorities.memo import FORGOTTEN_AT_ONCE, Key, Memo

NAMESPACES, SERVICES = ["x", "y"], ["a", "b", "c"]
steps = st.one_of(
    st.tuples(
        st.just("keep"), st.integers(0, 40), st.sampled_from(NAMESPACES), st.sampled_from(SERVICES)
    ),
    st.tuples(st.just("loose"), st.integers(0, 40), st.just(""), st.just("")),
    st.tuples(
        st.sampled_from(["services", "endpointslices"]),
        st.just(0),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
    ),
    st.tuples(st.just("namespaces"), st.just(0), st.just(""), st.sampled_from(NAMESPACES)),
)


def key_of(number: int, namespace: str, service: str) -> Key:
    return (f"{number}.{service}.{namespace}".encode(), 1)


@given(st.integers(1, 24), st.lists(steps, max_size=60))
def test_what_is_remembered_is_bounded_and_current(
    bound: int, taken: list[tuple[str, int, str, str]]
) -> None:
    memo, made = Memo(bound), dict[Key, Answer]()
    for what, number, namespace, name in taken:
        key = key_of(number, namespace, name)
        if what in ("keep", "loose"):
            if key in memo.answers:
                continue  # whoever remembers has asked before
            made[key] = Answer()
            if what == "keep":
                memo.keep(key, made[key], namespace, name)
            else:
                memo.keep_until_any_change(key, made[key])
            assert key in memo.answers
        else:
            memo.changed(what, namespace, name)
            gone = f".{name}" if what == "namespaces" else f".{name}.{namespace}"
            left = [octets.decode() for octets, _ in memo.answers]
            assert not any(each.endswith((gone, "..")) for each in left)
        assert len(memo.answers) <= bound
        for known, answer in made.items():
            assert answer.is_current == (memo.answers.get(known) is answer)


def test_a_full_table_is_not_forgotten_at_once() -> None:
    bound = 20 * FORGOTTEN_AT_ONCE
    memo, before = Memo(bound), 0
    for number in range(3 * bound):
        memo.keep((b"%d" % number, 1), Answer(), "x", f"s{number % 7}")
        memo.keep_until_any_change((b"loose %d" % number, 12), Answer())
        assert len(memo.answers) >= before + 2 - 3 * FORGOTTEN_AT_ONCE
        before = len(memo.answers)
    assert before > bound // 2
