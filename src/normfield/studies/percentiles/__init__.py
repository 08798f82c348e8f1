"""What the sigmoids of a network are given while it trains, as percentiles."""
