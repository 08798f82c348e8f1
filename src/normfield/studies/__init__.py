"""Claims and figures of the papers, each one file: compute a table, draw it, give a verdict."""
