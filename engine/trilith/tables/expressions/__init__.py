"""Expressions as the leader of a partition evaluates them."""
