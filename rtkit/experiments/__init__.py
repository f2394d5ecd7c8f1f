"""Many sessions: compared, swept, simulated, or gone wrong on purpose."""
