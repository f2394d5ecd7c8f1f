"""Soniox's real-time protocol, both ends of the wire."""
