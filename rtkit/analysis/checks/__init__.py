"""Whether results may be used, and what was done wrong."""
