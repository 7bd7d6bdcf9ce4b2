"""Tests of identities and keys."""
