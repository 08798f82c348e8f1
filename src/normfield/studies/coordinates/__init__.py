"""Images as functions of two coordinates: what a network learns of them, and what its kernel predicts."""
