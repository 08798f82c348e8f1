"""How deep networks train, with batch norm or skip connections, both or neither."""
