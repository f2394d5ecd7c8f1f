"""From facts to findings: latency, validity, accuracy, and their uncertainty."""
