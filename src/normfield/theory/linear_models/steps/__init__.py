"""Methods of descent, a file each."""
