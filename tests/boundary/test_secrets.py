"""What was told in confidence shows nowhere, and is struck out in whatever form it comes back."""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pprint import pformat
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from rtkit.boundary.secrets import Confidential, StrikeOut, Told, without_user
from rtkit.services.endpoint import Address, Endpoint

KEY = "sk-planted&0123/456+789=ab"
PRINTABLE = some.characters(min_codepoint=33, max_codepoint=126)

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "escaped for JSON": lambda key: "".join(f"\\u{ord(sign):04x}" for sign in key),
    "in capitals": lambda key: "".join(f"\\u{ord(sign):04X}" for sign in key),
    "as Java does": lambda key: key.replace("&", "\\u0026").replace("/", "\\/"),
    "URL": quote,
    "URL, all of it": lambda key: quote(key, safe=""),
    "URL, twice": lambda key: quote(quote(key, safe=""), safe=""),
    "URL, small": lambda key: "".join(f"%{ord(sign):02x}" for sign in key),
    "URL, capitals": lambda key: "".join(f"%{ord(sign):02X}" for sign in key),
    "HTML": html.escape,
    "HTML, numbers": lambda key: key.replace("&", "&#38;").replace("/", "&#x2F;"),
    "HTML in HTML": lambda key: html.escape(html.escape(key)),
    "HTML, by name": lambda key: key.replace("/", "&sol;").replace("=", "&equals;"),
    "HTML, with zeros": lambda key: key.replace("&", "&#0038;").replace("/", "&#x0002f;"),
    "HTML in URL": lambda key: quote(html.escape(key), safe=""),
    "URL in HTML": lambda key: html.escape(quote(key, safe="") + "&"),
    "JSON in URL": lambda key: quote(json.dumps(key.replace("/", "\\/")), safe=""),
    "as JavaScript does": lambda key: key.replace("&", "\\x26").replace("/", "\\u{2f}"),
    "for a pattern": re.escape,
    "as escape() does": lambda key: key.replace("&", "%u0026"),
    "CAPITALS": str.upper,
    "hexadecimal": lambda key: key.encode().hex(),
    "HEXADECIMAL": lambda key: key.encode().hex().upper(),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64, behind a user": lambda key: base64.b64encode(f"user:{key}!".encode()).decode(),
    "base64, behind another": lambda key: base64.urlsafe_b64encode(f"me:{key}?".encode()).decode(),
    "behind Token": lambda key: f"Token {key}",
    "behind bearer": lambda key: f"bearer {key}.",
}


@pytest.mark.parametrize("told", ["{}", "Bearer {}", "Token {}", "a={}; b=2", "key, {}"])
def test_a_secret_is_struck_out_in_every_form(told: str) -> None:
    strike_out = StrikeOut([told.format(KEY)])
    for name, form in FORMS.items():
        text = strike_out(f'{{"id": "{form(KEY)}"}} and more')
        assert "[secret]" in text, name
        for piece in (KEY, "planted", "PLANTED", "0123", form(KEY)):
            assert piece not in text, name
        assert text.startswith('{"id": "')
        assert text.endswith('"} and more')


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(some.text(PRINTABLE, min_size=12, max_size=40), some.sampled_from(sorted(FORMS)))
def test_whatever_the_secret_is(key: str, form: str) -> None:
    assert "[secret]" in StrikeOut([key])(f"<{FORMS[form](key)}>")


def test_what_was_told_as_basic_or_in_json_is_struck_out_by_its_parts() -> None:
    basic = base64.b64encode(f"somebody:{KEY}".encode()).decode()
    assert StrikeOut([f"Basic {basic}"])(f"{KEY} {basic}") == "[secret] [secret]"
    nested = json.dumps({"hook": [{"header": KEY, "n": 16000}]})
    assert StrikeOut([nested])(f"not with {KEY}: 16000") == "not with [secret]: 16000"


def test_several_are_struck_out_each_in_its_form() -> None:
    text = " ".join(form(KEY) for form in FORMS.values())
    struck = StrikeOut([KEY])(text)
    assert struck.count("[secret]") >= len(FORMS)
    assert "planted" not in struck.lower()


@pytest.mark.parametrize("length", [12, 16, 20])
def test_a_secret_that_a_message_cut_off_is_struck_out(length: int) -> None:
    """As a close reason of 123 bytes does with a token of 300."""
    cut = KEY[:length]
    for text in (f"not with {cut}", f'{{"error": "not \\"{cut}\\" here", "n": 1}}'):
        struck = StrikeOut([f"Bearer {KEY}"])(text)
        assert struck == text.replace(cut, "[secret]")
    escaped = StrikeOut([KEY])(f"no: {quote(cut, safe='')}...")
    assert escaped.startswith("no: [secret]")
    assert "planted" not in escaped


def test_what_may_be_a_word_stays() -> None:
    strike_out = StrikeOut(["true", "16000", "multi", "realtime, 0123456789abcdef", "a b c"])
    text = '{"realtime": true, "rate": 16000, "mode": "multi", "is": "a b c"}'
    assert strike_out(text) == text
    assert StrikeOut([])("%41 \\u0041 &amp;") == "%41 \\u0041 &amp;"


def test_secrets_are_used_and_shown_nowhere() -> None:
    endpoint = Endpoint(f"wss://me:{KEY}@h/v?token={KEY}", {"X-Any": KEY}, (f'{{"k": "{KEY}"}}',))
    told = Told({"a": KEY, "b": {"c": [KEY, 1]}, "n": 16000})
    things = (endpoint, endpoint.headers, endpoint.url, endpoint.opening, told, Confidential(KEY))
    for thing in things:
        for show in (repr, pformat, lambda one: repr([one]), lambda one: f"{one!r}"):
            assert "planted" not in show(thing)
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    for text in (repr(asdict(endpoint)), str(endpoint.headers), str(dict(endpoint.headers))):
        assert "planted" not in text
    assert "X-Any" in str(dict(endpoint.headers))
    assert "planted" not in repr((copy.copy(endpoint.url), copy.deepcopy(endpoint)))
    assert endpoint.headers == {"X-Any": KEY}
    url, headers, opening = endpoint.reveal()
    assert (type(url), url.count(KEY), headers) == (str, 2, {"X-Any": KEY})
    assert Endpoint(*pickle.loads(pickle.dumps((url, headers, opening)))) == endpoint
    assert json.loads(json.dumps(told)) == {"a": KEY, "b": {"c": [KEY, 1]}, "n": 16000}
    assert "planted" not in repr(replace(endpoint, headers={**endpoint.headers, "Y": KEY}))


def test_everything_is_secret_that_is_not_declared_public() -> None:
    endpoint = Endpoint(
        f"wss://somebody:{KEY}@h/v?Rate=16000&jwt=the%2Bjwt&sig=a+b",
        {"X-Api-Key": "one", "Cookie": "two", "Sec-WebSocket-Protocol": "three"},
        (json.dumps({"hello": {"key": "four", "rate": "16000", "list": ["five"]}}),),
    )
    found = {*endpoint.secrets(("rate", "nothing"))}
    assert found == {"somebody", KEY, "the+jwt", "a b", *("one", "two", "three", "four", "five")}
    assert {*endpoint.secrets(())} == found | {"16000"}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"wss://user:{KEY}@host/path", "wss://host/path"),
        (f"user:{KEY.replace('/', '')}@host", "host"),
        (f"wss://host/path?token={KEY}", "wss://host/path"),
        ("streaming.example.com", "streaming.example.com"),
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(address: str, shown: str) -> None:
    assert Address(address).shown == shown
    assert repr(Address(address)) == repr(shown)


def test_users_are_taken_out_of_addresses_in_sentences() -> None:
    sentence = f"http://me:{KEY.replace('/', '')}@proxy:1 is no proxy"
    assert without_user(sentence) == "http://proxy:1 is no proxy"
