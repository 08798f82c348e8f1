"""Residual branches beside their skip connections, block by block."""
