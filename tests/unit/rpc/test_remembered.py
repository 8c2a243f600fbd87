"""The server's memory of calls that must not run twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tandem.rpc.remembered import IDS_PER_RESULT, CallMemory, Known

RESULTS, BYTES, SECONDS = 3, 100, 60.0


def memory() -> CallMemory:
    return CallMemory(RESULTS, BYTES, SECONDS)


def key(number: int, principal: str = "p") -> tuple[str, str, int]:
    return (principal, "client", number)


def test_duplicate_of_a_finished_call_gets_its_answer() -> None:
    """The remembered frame is delivered as it was."""
    calls, got = memory(), []
    calls.begin(key(1), 0)
    calls.finish(key(1), b"answer", 0)
    assert calls.look_up(key(1), got.append, 1) is Known.DONE
    assert got == [b"answer"]


def test_duplicates_of_a_running_call_wait_for_it() -> None:
    """Each of them gets the one answer."""
    calls, first, second = memory(), [], []
    calls.begin(key(1), 0)
    assert calls.look_up(key(1), first.append, 0) is Known.RUNNING
    assert calls.look_up(key(1), second.append, 0) is Known.RUNNING
    calls.finish(key(1), b"answer", 0)
    assert first == second == [b"answer"]


def test_another_principal_finds_nothing() -> None:
    """Knowing somebody's call id does not give away the answer."""
    calls = memory()
    calls.begin(key(1), 0)
    calls.finish(key(1), b"answer", 0)
    assert calls.look_up(key(1, "other"), lambda _: None, 0) is Known.NEW


def test_pushed_out_result_is_forgotten_not_new() -> None:
    """A call whose answer had to go is still known to have run."""
    calls = memory()
    for number in range(RESULTS + 1):
        calls.begin(key(number), 0)
        calls.finish(key(number), b"x", 0)
    assert calls.look_up(key(0), lambda _: None, 0) is Known.FORGOTTEN
    assert len(calls) == RESULTS


def test_bytes_are_bounded() -> None:
    """A large answer pushes out older ones, and itself if it must."""
    calls = memory()
    calls.begin(key(1), 0)
    calls.finish(key(1), bytes(BYTES), 0)
    assert len(calls) == 1
    calls.begin(key(2), 0)
    calls.finish(key(2), bytes(BYTES + 1), 0)
    assert len(calls) == 0
    assert calls.look_up(key(2), lambda _: None, 0) is Known.FORGOTTEN


def test_age_ends_memory() -> None:
    """After its time a call is as if it had never been."""
    calls = memory()
    calls.begin(key(1), 0)
    calls.finish(key(1), b"x", 0)
    assert calls.look_up(key(1), lambda _: None, SECONDS + 1) is Known.NEW


@given(st.integers(0, 200))
def test_ids_are_bounded(number: int) -> None:
    """However many calls there were, memory holds no more than its limits."""
    calls = memory()
    for n in range(number):
        calls.begin(key(n), 0)
        calls.finish(key(n), b"x", 0)
    assert len(calls) <= RESULTS
    assert len(calls._ids) <= RESULTS * IDS_PER_RESULT


class MemoryMachine(RuleBasedStateMachine):
    """Any mixture of new calls, duplicates and time: within limits no call is ever NEW twice."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = CallMemory(4, 64, SECONDS)
        self.now = 0.0
        self.running: set[int] = set()
        self.ran: dict[int, float] = {}

    @rule(number=st.integers(0, 8))
    def ask(self, number: int) -> None:
        known = self.calls.look_up(key(number), lambda _: None, self.now)
        if number in self.running:
            assert known is Known.RUNNING
        elif number in self.ran and self.now - self.ran[number] <= SECONDS:
            assert known in (Known.DONE, Known.FORGOTTEN)
        else:
            assert known is Known.NEW
            self.calls.begin(key(number), self.now)
            self.running.add(number)

    @rule(size=st.integers(0, 80))
    def finish(self, size: int) -> None:
        if self.running:
            number = self.running.pop()
            self.calls.finish(key(number), bytes(size), self.now)
            self.ran[number] = self.now

    @rule(seconds=st.floats(0.1, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def stays_within_limits(self) -> None:
        held = sum(len(entry.frame or b"") for entry in self.calls._done.values())
        assert len(self.calls) <= 4
        assert held == self.calls._bytes <= 64


TestMemoryMachine = MemoryMachine.TestCase
