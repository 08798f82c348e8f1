"""Which learning rates a network survives, with batch norm and without."""
