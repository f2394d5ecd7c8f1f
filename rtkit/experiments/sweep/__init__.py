"""Sweeps: a grid of sessions, where they run, what they cost, and their table."""
