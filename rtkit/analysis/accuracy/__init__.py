"""Accuracy: the word error rate, and what counts as a word."""
