"""One session: a clip sent in time, and everything that happens recorded."""
