"""Trilith: a distributed storage engine, replicated synchronously over three availability zones."""

__version__ = "0.1.0"
