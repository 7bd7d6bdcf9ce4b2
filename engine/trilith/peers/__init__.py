"""Streams between nodes: one control connection and one bulk connection for each pair.

The control connection carries small typed messages (appends, acknowledgements, heartbeats,
forwarded commands), gathered so that one loop tick makes one frame. The bulk connection carries
calls with bodies (chunks, snapshots), so that megabytes never delay a heartbeat.
"""
