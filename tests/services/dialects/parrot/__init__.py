"""A vendor that there is not: unlike AssemblyAI wherever it can be."""
