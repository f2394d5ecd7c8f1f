"""AssemblyAI's Streaming API v3, both ends of the wire."""
