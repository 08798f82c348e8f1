"""Batch norm itself: its two passes in closed form, the statistics of inference, how far they are off, and noise."""
