"""Waiting until an instant, virtual time, stalls, and the synchronous wrapper."""
