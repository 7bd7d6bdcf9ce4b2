"""Tests of trilith.chunks."""
