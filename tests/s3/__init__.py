"""Tests of the S3 protocol layer."""
