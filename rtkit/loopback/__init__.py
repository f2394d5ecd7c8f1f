"""The embedded service: a vendor's protocol on this machine, without a key.

``python -m rtkit.loopback --port 8765`` serves it to any client of that protocol.

- `options`: all that may be asked of it; `command`, `child` and `process` are made of that
- `behavior`: what it does at which time, whatever the vendor
- `engines`: what it hears in the audio; `recognizer`: a real one, in processes of its own;
  `script_position`: where in a script's recording a client is; `replay`: a session said again
- `turns`: which silence ends a turn, and when its words are told
- `conversation`: what it says, and when, in rtkit's own words; no I/O
- `admission`: keys, tokens, and how many sessions
- `line` and `faults`: a session's frames in both directions, and faults on demand
- `server`: who gets a session, `skin`: websockets around conversations, `scripts`: what each is to
  hear, `tls` for those that are encrypted, `log` for who came; `in_memory`: a connection without a
  network
- `process`: the child process that a session uses

What a vendor's wire looks like lies in `rtkit.services`.
"""
