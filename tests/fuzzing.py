"""What the usual suite does with a target of tests/fuzz: what once broke it, what is endless, some chance."""

from __future__ import annotations

from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.everything import GROUPS, kept
from tests.fuzz.spoil import monsters, spoilt
from tests.fuzz.target import Target

IN_A_MOMENT = 60.0
"""Seconds for all that is large, deep or endless, on a busy machine; what is not bounded takes hours."""


class Spoilt:
    """What each target of a group goes through; a file of tests names its group, and how much is left to chance."""

    group: ClassVar[str]
    examples: ClassVar[int]
    """Documents with something wrong in them, for each target."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Every test is of every target of the group."""
        metafunc.parametrize("target", GROUPS[self.group], ids=lambda target: target.name)

    def test_its_seeds_are_real(self, target: Target) -> None:
        """The documents that it begins with are real ones, or nothing behind the first line would be tried."""
        assert any(target(seed) for seed in target.seeds), f"{target.name} takes none of its seeds"

    def test_what_once_broke_it_does_no_more(self, target: Target) -> None:
        """Each of those is taken or refused."""
        for raw in kept(target.name).values():
            target(raw)

    @pytest.mark.timeout(IN_A_MOMENT)
    def test_what_is_large_or_deep_ends_soon(self, target: Target) -> None:
        """What is large, deep or endless is taken or refused, in bounded time."""
        for raw in monsters(target).values():
            target(raw)

    def test_what_is_spoilt_is_taken_or_refused(self, target: Target) -> None:
        """Documents with something wrong in them are taken or refused. The same ones at every run."""

        @given(random=st.randoms(use_true_random=False), seed=st.sampled_from(target.seeds))
        @settings(
            max_examples=self.examples,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        def survives(random: Random, seed: bytes) -> None:
            target(spoilt(target, seed, random.randrange))

        survives()
