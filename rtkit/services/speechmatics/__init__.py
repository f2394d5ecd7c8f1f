"""Speechmatics' real-time protocol (RT v2), client and server."""
