"""Who may come in: keys, tokens and counts, on paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from rtkit.loopback.admission import Admission, Visit
from rtkit.services.assemblyai.server import Server
from rtkit.services.messages import Refusal

UNAUTHORIZED = "Unauthorized Connection: "
MISSING, INVALID, EXPIRED, CROWDED = (
    "Missing Authorization header",
    "Invalid API key",
    "Signature has expired",
    "Too many concurrent sessions",
)


@contextmanager
def visited(
    admission: Admission, authorization: str | None, token: str | None, now: float
) -> Iterator[Visit]:
    """As the skin goes about it: what the vendor's clients bring, then who knows it."""
    query = {} if token is None else {"token": token}
    headers = {} if authorization is None else {"authorization": authorization}
    with admission.visit(Server.credential(query, headers), now) as visit:
        yield visit


def refusal(admission: Admission, authorization: str | None, token: str | None = None) -> Any:
    try:
        with visited(admission, authorization, token, 0.0) as visit:
            refused = visit.refused and Server.refusal(visit.refused)
    except Refusal as error:
        refused = error
    return refused and (refused.code, refused.text)


@pytest.mark.parametrize(
    ("key", "authorization", "token", "told"),
    [
        (None, "any", None, None),
        (None, None, "any", None),
        (None, None, None, MISSING),
        (None, "", "", MISSING),
        (None, "Bearer any", None, INVALID),
        (None, "embedded.forged.0", None, INVALID),
        (None, "embedded.\udcff", None, INVALID),
        ("sesame", "sesame", None, None),
        ("sesame", "Sesame", None, INVALID),
        ("sesame", "Bearer sesame", None, INVALID),
        ("sesame", "sésame\udcff", None, INVALID),
        ("sesame", None, None, MISSING),
        ("sesame", None, "garbage", INVALID),
    ],
)
def test_who_is_refused_and_why(
    key: str | None, authorization: str | None, token: str | None, told: str | None
) -> None:
    expected = told and (1008, UNAUTHORIZED + told)
    assert refusal(Admission(key), authorization, token) == expected


def page(
    admission: Admission, query: dict[str, str], authorization: str | None, at: float = 0.0
) -> tuple[int, Any]:
    headers = {} if authorization is None else {"authorization": authorization}
    answer = Server.page("/v3/token", query, headers, admission, at)
    assert answer is not None
    return answer


def mint(admission: Admission, at: float = 0.0, **asked: int) -> str:
    query = {name: str(value) for name, value in asked.items()}
    status, answer = page(admission, query, "sesame", at)
    assert status == 200
    assert answer["expires_in_seconds"] == asked["expires_in_seconds"]
    return str(answer["token"])


@pytest.mark.parametrize("in_header", [True, False])
def test_a_token_opens_sessions_until_it_expires(in_header: bool) -> None:
    admission = Admission("sesame")
    token = mint(admission, expires_in_seconds=60, max_session_duration_seconds=100)
    header, query = (token, None) if in_header else (None, token)
    for _ in range(2):
        with visited(admission, header, query, 59.9) as visit:
            assert (visit.refused, visit.max_duration) == (None, 100)
    with visited(admission, header, query, 60.0) as visit:
        assert visit.refused is not None
        refused = Server.refusal(visit.refused)
        assert (refused.code, refused.text) == (1008, UNAUTHORIZED + EXPIRED)


def test_a_token_is_good_for_its_own_service_only_and_as_it_was_made() -> None:
    token = mint(Admission(), expires_in_seconds=60)
    assert refusal(Admission(), token) == (1008, UNAUTHORIZED + INVALID)
    admission = Admission()
    token = mint(admission, expires_in_seconds=60)
    assert refusal(admission, token) is None
    for place in (len("embedded.") + 3, len(token) - 1):
        other = "y" if token[place] == "x" else "x"
        changed = token[:place] + other + token[place + 1 :]
        assert refusal(admission, changed) == (1008, UNAUTHORIZED + INVALID)


@pytest.mark.parametrize(
    ("asked", "authorization", "status", "named"),
    [
        ({"expires_in_seconds": "60"}, "sesame", 200, None),
        ({"expires_in_seconds": "60"}, "Bearer sesame", 200, None),
        ({"expires_in_seconds": "600", "other": "x"}, "sesame", 200, None),
        ({"expires_in_seconds": "60"}, "another", 401, None),
        ({"expires_in_seconds": "60"}, None, 422, "Authorization"),
        ({}, "sesame", 422, "expires_in_seconds"),
        ({"expires_in_seconds": "0"}, "sesame", 422, "expires_in_seconds"),
        ({"expires_in_seconds": "601"}, "sesame", 422, "expires_in_seconds"),
        ({"expires_in_seconds": "1.5"}, "sesame", 422, "expires_in_seconds"),
        (
            {"expires_in_seconds": "60", "max_session_duration_seconds": "59"},
            "sesame",
            422,
            "max_session_duration_seconds",
        ),
    ],
)
def test_the_token_endpoint_answers_like_the_real_one(
    asked: dict[str, str], authorization: str | None, status: int, named: str | None
) -> None:
    answered, answer = page(Admission("sesame"), asked, authorization)
    assert answered == status
    if named is not None:
        assert named in answer["error"]


def test_no_more_sessions_are_open_than_may_be() -> None:
    admission = Admission(max_sessions=2)
    with ExitStack() as open_sessions:
        for _ in range(2):
            visit = open_sessions.enter_context(admission.visit("any", 0.0))
            assert visit.refused is None
        for _ in range(2):
            assert refusal(admission, "any") == (3009, UNAUTHORIZED + CROWDED)
    assert refusal(admission, "any") is None


def test_no_more_sessions_are_opened_within_a_minute_than_may_be() -> None:
    admission = Admission(sessions_per_minute=2)

    def opens(at: float) -> bool:
        with admission.visit("any", at) as visit:
            return visit.refused is None

    instants = [0.0, 20.0, 30.0, 59.9, 60.0, 61.0, 80.0]
    assert [at for at in instants if opens(at)] == [0.0, 20.0, 60.0, 80.0]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"key": " "}, "key="),
        ({"max_sessions": 0}, "max_sessions=0"),
        ({"sessions_per_minute": -1}, "sessions_per_minute=-1"),
    ],
)
def test_impossible_rules_are_loud(rules: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Admission(**rules)
