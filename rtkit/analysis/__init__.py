"""From facts to findings: latency, validity, accuracy, and how sure they are."""
