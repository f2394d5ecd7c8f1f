"""One session in time: its turns and words, how late each left and came back, and why."""
