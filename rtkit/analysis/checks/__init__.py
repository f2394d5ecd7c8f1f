"""Checks: whether results can be used, and common mistakes."""
