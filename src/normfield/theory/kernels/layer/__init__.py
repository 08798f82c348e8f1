"""One layer's moments and their adjoints: exactly, with the normaliser at its mean, by sampling, without a norm."""
