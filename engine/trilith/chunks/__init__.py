"""Bulk bytes: bodies are cut into chunks, encrypted, placed and kept in every zone.

    upload      body -> windows -> chunks -> ids and keys -> sealed bytes
    replicas    one chunk into the owners of all zones: touched where known, put where not
    reading     one chunk, or a run of them, from the nearest good copy
    service     what a data node answers, and how another node is asked
    repair      chunks that a zone missed, brought there later

A chunk is immutable; its id and key depend on nothing but the salt and its plaintext.
"""
