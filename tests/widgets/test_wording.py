"""What rtkit says is said in the panel's words."""

from __future__ import annotations

import inspect
import re

import pytest

from rtkit.analysis.checks import audio_mistakes, validity
from rtkit.widgets.wording import in_panel_words

SAID = [
    found
    for module in (validity, audio_mistakes)
    for found in re.findall(r"\w+='\w+'|rtkit\.open_clip\(path, \w+=", inspect.getsource(module))
]


def test_there_is_something_to_say() -> None:
    assert len(SAID) >= 5


@pytest.mark.parametrize("code", SAID)
def test_no_fix_names_a_parameter(code: str) -> None:
    """A file of code that names another one finds it missing here."""
    fixed = in_panel_words(f"Use {code.replace('channel=', 'channel=1)')}.")
    assert "=" not in fixed, fixed


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("Use pacing='wall_clock'.", "Use the pacing wall clock."),
        ("Take rtkit.open_clip(path, channel=0).", "Take channel 1, under More."),
        (
            "or use isolation='process', or wait",
            "or send from a process of its own (sender, under More), or wait",
        ),
        (
            "Set THE_KEY, or pass Vendor(key=...).",
            "Paste the right key into the field API key, under More, or set THE_KEY before "
            "Jupyter starts.",
        ),
        ("chunk=0.02 s is outside what it takes", "a chunk of 20 ms is outside what it takes"),
    ],
)
def test_fields_are_named_in_the_place_of_parameters(code: str, words: str) -> None:
    assert in_panel_words(code) == words
