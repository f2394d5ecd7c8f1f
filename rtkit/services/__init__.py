"""Who is spoken to: what any service says, in rtkit's own words, and a folder for each vendor."""
