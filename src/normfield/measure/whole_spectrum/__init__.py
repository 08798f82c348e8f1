"""What is said of all eigenvalues at once, with error bars: trace, density, blocks by layer."""
