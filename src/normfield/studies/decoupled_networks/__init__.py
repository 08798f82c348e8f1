"""What the study of networks trained unit by unit shares: its networks and its data."""
