"""How sessions end: whatever tells of an ending is explained, with a cause and a fix."""

from __future__ import annotations

from dataclasses import replace

import pytest
from facts import session as built

import rtkit
from rtkit.audio import AudioError
from rtkit.recording import StreamError
from rtkit.services import endpoint
from rtkit.services.explain import explain
from rtkit.services.messages import ServiceError
from rtkit.services.service import dialects
from rtkit.session import Session

TOO_FAST = "Audio Transmission Rate Exceeded: Received 314.9 sec. audio in 1.312326 sec"
SHORT = "Input Duration Violation: 25.0 ms. Expected between 50 and 1000 ms"
CROWDED = "Unauthorized Connection: Too many concurrent sessions"
IDLE = "Session terminated due to inactivity: No messages received for 5 seconds"
EXPIRED = "Session Expired: Maximum session duration exceeded"
REASON = "See Error message for details"


@pytest.mark.parametrize(
    ("code", "text", "name"),
    [
        # The text decides: one code meant all of these once.
        *((code, TOO_FAST, "sent too fast") for code in (3005, 3007, None)),
        *((code, SHORT, "chunk out of bounds") for code in (3005, 3007)),
        *((code, CROWDED, "too many new sessions") for code in (1008, 3005, 3009)),
        *((code, IDLE, "idle") for code in (3005, 3006)),
        *((code, EXPIRED, "session too long") for code in (3005, 3008)),
        (3007, f"Input Duration Error: {SHORT}", "chunk out of bounds"),
        (3006, f"User Input Validation Error: {IDLE}", "idle"),
        (1008, "Unauthorized Connection: Missing Authorization header", "no key"),
        (1008, "Unauthorized Connection: Invalid API key", "key refused"),
        (1008, "Unauthorized Connection: Signature has expired", "token expired"),
        (1008, "Unauthorized Connection: Insufficient funds", "no credit"),
        (1008, "Unauthorized Connection: account closed", "not authorized"),
        (3006, "Invalid JSON: Expecting value", "bad input"),
        (3006, "Invalid Message Type: Hello", "bad input"),
        (3006, "Invalid 'inactivity_timeout': 3 is not between 5 and 3600", "bad input"),
        (3005, "Session Cancelled: An error occurred", "service fault"),
        # ... and the code where the text tells nothing.
        (1000, "Session Ended", "complete"),
        (1001, "", "service going away"),
        (None, "", "connection lost"),
        (1006, "", "connection lost"),
        (1008, REASON, "not authorized"),
        (1009, "", "message too big"),
        (1011, "", "service fault"),
        (1012, "", "service restart"),
        (1013, "", "service busy"),
        (3005, REASON, "service fault"),
        (3006, REASON, "bad input"),
        (3007, REASON, "chunk or pace out of bounds"),
        (3008, REASON, "session too long"),
        (3009, REASON, "too many new sessions"),
        (1005, "", "closed early"),
        (400, "", "bad input"),
        (401, "", "key refused"),
        (402, "", "no credit"),
        (403, "", "not authorized"),
        (405, "", "nothing there"),
        (407, "", "proxy refused"),
        (408, "", "idle"),
        *((code, "", "taken over") for code in (4010, 4030, 4103)),
        (4999, "", "unknown"),
    ],
)
def test_an_ending_is_explained_by_its_text_first(code: int | None, text: str, name: str) -> None:
    assert explain(code, text).name == name


@pytest.mark.parametrize(
    "code", [1000, 1006, 1008, 1011, 1012, 1013, 3005, 3006, 3007, 3008, 3009, None]
)
def test_every_code_of_the_protocol_has_a_cause_and_a_cure(code: int | None) -> None:
    closure = explain(code)
    assert closure.name != "unknown"
    assert closure.cause.endswith((".", ")."))
    assert closure.fix.endswith(".")


@pytest.mark.parametrize(
    ("code", "text", "retry"),
    [
        (1006, "", True),
        (1008, CROWDED, True),
        (3009, CROWDED, True),
        (3008, EXPIRED, True),
        (3005, "Session Cancelled: An error occurred", True),
        (1008, "Unauthorized Connection: Invalid API key", False),
        (3005, TOO_FAST, False),
        (3007, SHORT, False),
        (3006, "Invalid JSON: Expecting value", False),
    ],
)
def test_it_says_whether_the_same_thing_may_work_again(code: int, text: str, retry: bool) -> None:
    assert explain(code, text).retry is retry


@pytest.mark.parametrize("dialect", dialects())
def test_it_says_how_long_to_wait_before_more_sessions(dialect: str) -> None:
    closure = explain(429, dialect=dialect)
    assert closure.name == "too many new sessions"
    assert closure.wait == (5 if dialect == "deepgram" else 60)


def broken(code: int | None, error: str = "", closure: str = "") -> Session:
    session = built([0.0], ending="failed")
    assert session.ending is not None
    ending = replace(session.ending, code=code, error=error, closure=closure)
    return replace(session, ending=ending)


class Refused(Exception):
    """As websockets tells of an HTTP status."""

    def __init__(self, status: int) -> None:
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (3008, "session too long"),
        ("3008", "session too long"),
        ("Input Duration Violation: 25.0 ms. Expected between ...", "chunk out of bounds"),
        (TOO_FAST, "sent too fast"),
        ("who knows", "unknown"),
        (429, "too many new sessions"),
        (503, "service busy"),
        ({"type": "Error", "error_code": 3006, "error": "Invalid JSON: x"}, "bad input"),
        (ServiceError(1008, "Unauthorized Connection: Invalid API key"), "key refused"),
        (endpoint.Closed(1012), "service restart"),
        (Refused(401), "key refused"),
        (TimeoutError(), "no reply"),
        (ConnectionRefusedError("no"), "not reached"),
        (AudioError("data.wav has an invalid name. Change it."), "refused"),
        (rtkit.explain(1000), "complete"),
        (built([0.0]), "complete"),
        (built([0.0], ending="stopped"), "stopped"),
        (built([0.0], ending=None), "cut off"),
        (broken(1011), "service fault"),
        (broken(None, "It broke. Look at it.", "connection lost"), "connection lost"),
        (broken(None, "It sent a lot. Look at it.", "result too large"), "result too large"),
        (broken(None, "It refused. Look at it.", "key refused"), "key refused"),
        (broken(None, "It sent no Begin. Try again."), "failed"),
        (StreamError("It closed.", broken(3008)), "session too long"),
    ],
    ids=str,
)  # fmt: skip
def test_whatever_tells_of_an_ending_is_explained(what: object, name: str) -> None:
    closure = rtkit.explain(what)
    assert closure.name == name
    assert closure.cause
    assert closure.fix
    assert str(closure).startswith(f"{name}: ")


@pytest.mark.parametrize("what", [True, 1.5, object(), []])
def test_what_tells_of_no_ending_is_refused(what: object) -> None:
    with pytest.raises(
        TypeError, match="says nothing about why a session ended; give a close code"
    ):
        rtkit.explain(what)


def test_websockets_own_exceptions_are_explained() -> None:
    from websockets.exceptions import ConnectionClosedError
    from websockets.frames import Close

    assert rtkit.explain(ConnectionClosedError(Close(3008, ""), None)).name == "session too long"
    assert rtkit.explain(ConnectionClosedError(None, None)).name == "connection lost"


def test_the_table_of_endings_is_what_explain_says() -> None:
    table = rtkit.close_codes()
    for row in table:
        assert row.codes
        assert row.evidence
        explained = rtkit.explain(row.codes[0], row.said)
        assert (explained.name, explained.fix) == (row.name, row.fix)
        assert row.codes[0] in explained.codes
    every = {code for row in table for code in row.codes}
    assert {1000, 1006, 1008, 1011, 3005, 3006, 3007, 3008, 3009, 401, 429} <= every
    page = table._repr_html_()
    assert page.count("<tr>") == len(table) + 1
    assert str(table).count("\n") == len(table) - 1


def test_of_a_session_that_went_well_nothing_is_to_be_tried_again() -> None:
    assert str(rtkit.explain(1000)) == "complete: The session ended normally. Nothing to do."
    assert str(rtkit.explain(3006)).endswith("Trying again does not help.")
    assert str(rtkit.explain(1006)).endswith("Trying again may help.")


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        ("server rejected WebSocket connection: HTTP 401", 401),
        (
            "websockets.exceptions.InvalidStatus: server rejected WebSocket connection: HTTP 429",
            429,
        ),
        ("received 1011 (internal error) Oops; then sent 1011 (internal error) Oops", 1011),
        ("received 3007 (registered) Hm; then sent 3007 (registered) Hm", 3007),
        ("sent 1009 (message too big); then received 1009 (message too big)", 1009),
        ("no close frame received or sent", None),
        ("sent 1011 (internal error) keepalive ping timeout; no close frame received", None),
        ("code 4001: Hm", 4001),
        ("WebSocket closed: code=1012, reason=''", 1012),
        ("CloseEvent {isTrusted: true, wasClean: false, code: 1013}", 1013),
        ("Error: Unexpected server response: 403", 403),
        ("Handshake status 404 Not Found", 404),
        ("websocket: close 1012: hm", 1012),
        ('{"type": "Error", "error_code": 3007, "error": "Hm"}', 3007),
        ("HTTP/1.1 503 Service Unavailable", 503),
        ("it said 1013 and went away", 1013),
        ("InvalidStatus: server rejected WebSocket connection: HTTP 403", 403),
        ("WSServerHandshakeError: 401, message='Invalid response status', url='wss://x'", 401),
        ("WSMessage(type=<WSMsgType.CLOSE: 8>, data=4008, extra='')", 4008),
        ("Connection to remote host was lost.", None),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", None),
    ],
)
def test_codes_are_found_in_text_as_people_paste_it(pasted: str, code: int | None) -> None:
    assert explain(pasted) == explain(code)


@pytest.mark.parametrize(
    ("pasted", "name"),
    [
        ("code 4001: Not authorized", "key refused"),
        ("closed with 4029", "sent too fast"),
        ("[Errno 111] Connection refused", "not reached"),
        ("socket.gaierror: [Errno -2] Name or service not known", "not reached"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "not reached"),
        ("timed out during opening handshake", "no reply"),
    ],
)
def test_what_clients_and_systems_say_is_told_apart(pasted: str, name: str) -> None:
    assert explain(pasted).name == name


@pytest.mark.parametrize(
    "text", ["it lasted 429 seconds", "429 ms", "at 12:1011", "v1.401.2", "hm"]
)
def test_numbers_that_are_no_codes_tell_nothing(text: str) -> None:
    assert explain(text).name == "unknown"


def test_a_forgotten_await_has_no_ending() -> None:
    async def session() -> None: ...

    with pytest.raises(TypeError, match="await it"):
        explain(session())
