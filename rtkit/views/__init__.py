"""Views of sessions: figures, tables, players, pages, and files."""
