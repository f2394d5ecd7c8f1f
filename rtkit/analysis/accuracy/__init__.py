"""How well it was understood: word error rate, and what counts as a word."""
