"""Timing of one session: its chunks, words and turns, how late each was, and why."""
