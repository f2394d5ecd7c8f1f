"""OpenAI's Realtime API for transcription, and vLLM's, client and server."""
