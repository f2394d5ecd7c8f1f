"""Soniox's real-time protocol, client and server."""
