"""Networks for images, trained as practice trains them: augmentation, weight decay, running statistics for testing."""
