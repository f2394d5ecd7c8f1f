"""References: what was said and when, in any format."""

from rtkit.reference.captions import Cue, are_captions, read_cues, without_labels
from rtkit.reference.files import (
    TAKEN,
    find_reference,
    read_json,
    read_reference,
    read_text,
    reference_in,
    reference_of,
)
from rtkit.reference.spoken import (
    Reference,
    SidecarError,
    SpokenTurn,
    SpokenWord,
    check_within,
    has_text_alone,
)

__all__ = [
    "TAKEN",
    "Cue",
    "Reference",
    "SidecarError",
    "SpokenTurn",
    "SpokenWord",
    "are_captions",
    "check_within",
    "find_reference",
    "has_text_alone",
    "read_cues",
    "read_json",
    "read_reference",
    "read_text",
    "reference_in",
    "reference_of",
    "without_labels",
]
