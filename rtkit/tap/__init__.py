"""The tap: measuring another client's session. Bytes are passed on first, then examined."""
