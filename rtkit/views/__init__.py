"""What sessions look like: figures, tables, players, pages, and files to keep."""
