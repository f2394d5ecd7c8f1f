"""Deepgram's streaming protocols, client and server: v1 (segments) and v2, Flux (turns)."""
