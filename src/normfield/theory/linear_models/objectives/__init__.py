"""What linear models minimise, in the coordinates in which the second moment of the inputs is diagonal."""
