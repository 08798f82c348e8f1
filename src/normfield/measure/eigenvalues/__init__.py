"""The largest eigenvalues: block Lanczos, small matrices whole, results."""
