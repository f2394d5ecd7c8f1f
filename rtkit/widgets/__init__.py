"""The panel for notebooks, and its parts."""
