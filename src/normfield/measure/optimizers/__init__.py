"""The curvature as an optimizer sees it."""
