"""Waiting until an instant, loops whose time jumps, stalls, and the synchronous wrapper."""
