"""The embedded service: AssemblyAI's Streaming API v3 on this machine, without a key.

``python -m rtkit.loopback --port 8765`` serves it to any client of that protocol.

- `engine`: what it hears in the audio
- `recognizer`: a real recognizer, in processes of its own
- `parameters`: what a client may ask for
- `turns`: which silence ends a turn, and when its words are told
- `conversation`: what it says, and when; no I/O
- `admission`: keys, tokens, and how many sessions
- `server`: the websocket around a conversation
- `faults`: faults on demand
- `memory`: an in-memory connection around a conversation
- `process`: the child process that a session uses
"""
