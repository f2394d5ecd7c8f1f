"""One session: sending a clip on schedule, and recording everything that happens."""
