"""Addresses follow from names."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, strategies as st

from k8sdns.cluster.addresses import POD_CIDRS, SERVICE_CIDRS, Ranges, family_of, stable_letters

names = st.lists(st.text(max_size=12), max_size=12, unique=True)
cidrs = st.sampled_from(["10.0.0.0/28", "10.96.0.0/12", "fd00::/124", "fd00:10:96::/112"])


@given(names, cidrs, st.sets(st.integers(1, 6), max_size=3))
def test_nobody_shares_an_address_or_gets_one_that_is_taken(
    asking: list[str], cidr: str, taken: set[int]
) -> None:
    network = ipaddress.ip_network(cidr)
    pool = Ranges([cidr], ()).pool(family_of(cidr))
    by_hand = {str(network[offset]) for offset in taken}
    pool.take(by_hand)
    given_out = [address for name in asking if (address := pool.give(name)) is not None]
    assert len(set(given_out)) == len(given_out)
    assert not by_hand & set(given_out)
    edges = {network[0], network[-1]}
    assert all(ipaddress.ip_address(ip) in network for ip in given_out)
    assert not edges & {ipaddress.ip_address(ip) for ip in given_out}


@pytest.mark.parametrize("cidr", SERVICE_CIDRS + POD_CIDRS)
def test_an_address_depends_on_its_name_alone(cidr: str) -> None:
    ranges, family = Ranges([cidr], ()), family_of(cidr)
    alone = ranges.pool(family).give("shop/web")
    crowded = ranges.pool(family)
    for name in ("a", "b", "c"):
        crowded.give(name)
    assert crowded.give("shop/web") == alone


def test_a_small_range_is_given_out_to_the_last_address() -> None:
    pool = Ranges(["10.0.0.0/29"], ()).pool("IPv4")
    assert len({pool.give(str(number)) for number in range(6)}) == 6
    assert pool.give("one too many") is None


def test_letters_are_those_of_generated_names() -> None:
    assert stable_letters("a", 5) == stable_letters("a", 5)
    assert stable_letters("a", 5) != stable_letters("b", 5)
    assert set(stable_letters("a", 60)) <= set("bcdfghjklmnpqrstvwxz2456789")
