"""AssemblyAI's Streaming API v3, client and server."""
