"""Somebody else's session, seen from between: bytes passed on first, and looked at afterwards."""
