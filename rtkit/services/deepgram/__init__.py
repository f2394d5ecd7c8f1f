"""Deepgram's streaming protocols, both ends of the wire: v1 (segments) and v2, Flux (turns)."""
