"""Many sessions: quantiles with intervals, comparisons, and the worst cases."""
