"""A conversation goes one way, from open to closed, whatever is said when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import simulate, virtual_loop
from facts import settings
from scripted import BEGIN, ENDED, NORMAL, Scripted, error

from rtkit.recording import Recorder
from rtkit.sending.listen import _NEXT, LAST_WORDS, Conversation, State
from rtkit.sending.session_time import SessionTime
from rtkit.sending.websocket import Failure
from rtkit.services.endpoint import Closed


def conversation(*timeline: Any, shutdown: Any = NORMAL) -> Conversation:
    recorder = Recorder(settings(), {}, None)
    return Conversation(Scripted(list(timeline), shutdown), recorder, SessionTime(recorder))


def test_a_conversation_goes_through_its_states_in_order() -> None:
    async def states() -> list[State]:
        talk = conversation((0.5, BEGIN))
        found = [talk.state]
        for step in (talk.begin, talk.end):
            await talk.while_open(step())
            found.append(talk.state)
        await talk.close()
        return [*found, talk.state]

    assert simulate(states()) == [State.OPEN, State.BEGUN, State.FINISHED, State.CLOSED]


def test_every_state_leads_on_and_none_back() -> None:
    order = list(State)
    for state, nexts in _NEXT.items():
        assert all(order.index(state) < order.index(one) for one in nexts)
    assert set(_NEXT) == set(State)


def test_what_leads_back_is_an_error_of_ours() -> None:
    async def twice() -> None:
        talk = conversation((0.0, BEGIN))
        await talk.while_open(talk.begin())
        await talk.while_open(talk.end())
        try:
            with pytest.raises(AssertionError):
                await talk.end()
        finally:
            await talk.close()

    simulate(twice())


def test_a_begin_that_comes_after_the_goodbye_changes_nothing() -> None:
    async def late() -> State:
        talk = conversation(shutdown=(BEGIN, *NORMAL))
        await talk.goodbye()
        state = talk.state
        await talk.close()
        return state

    assert simulate(late()) is State.FINISHED


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param((error(3005, "Cancelled"), ENDED, Closed(1000)), 3005, id="then it ends"),
        pytest.param((error(3005, "Cancelled"),), 3005, id="and no more"),
        pytest.param((ENDED,), None, id="ends unasked"),
    ],
)
def test_a_service_that_gives_up_has_failed_whatever_it_says_afterwards(
    said: tuple[str | Closed, ...], code: int | None
) -> None:
    async def given_up() -> tuple[Failure, float]:
        talk = conversation((0.0, BEGIN), *((0.5, one) for one in said))
        await talk.while_open(talk.begin())
        with pytest.raises(Failure) as caught:
            await talk.while_open(asyncio.Event().wait())
        await talk.close()
        return caught.value, virtual_loop().time()

    failure, over = simulate(given_up())
    assert (f"code {code}" if code else "without a close code") in str(failure)
    assert over <= 0.5 + LAST_WORDS + 1e-9


def test_only_what_has_not_begun_may_be_tried_again() -> None:
    async def failing(*timeline: Any) -> Failure:
        talk = conversation(*timeline)

        async def whole() -> None:
            await talk.while_open(talk.begin())
            await talk.while_open(asyncio.Event().wait())

        with pytest.raises(Failure) as caught:
            await whole()
        await talk.close()
        return caught.value

    assert simulate(failing((0.5, Closed(None)))).wait is not None
    assert simulate(failing((0.0, BEGIN), (0.5, Closed(None)))).wait is None
