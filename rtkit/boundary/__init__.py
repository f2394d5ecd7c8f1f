"""The boundary to the outside: text, values, files, secrets, child processes."""
