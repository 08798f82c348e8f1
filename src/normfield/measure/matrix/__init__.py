"""The measured matrix, known by its products: operators, tangents, and the checked way to them."""
