"""A grid of sessions: which, where they run, what they cost, and their table."""
