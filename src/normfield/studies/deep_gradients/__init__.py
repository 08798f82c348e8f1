"""Gradient norms by layer of networks of ninety layers, measured and predicted."""
