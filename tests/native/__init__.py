"""Each native kernel against a slow oracle in plain Python."""
