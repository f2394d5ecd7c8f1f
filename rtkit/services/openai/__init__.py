"""OpenAI's Realtime API for transcription, and vLLM's of the same name, both ends of the wire."""
