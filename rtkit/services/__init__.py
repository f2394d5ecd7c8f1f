"""Services: vendor-independent messages, and a folder for each vendor."""
