"""Speechmatics' real-time protocol (RT v2), both ends of the wire."""
