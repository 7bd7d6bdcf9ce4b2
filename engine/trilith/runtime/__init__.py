"""Ports to the outside world: time, disk, network, worker threads, randomness.

Every timer, clock, random number, socket and file of the engine is reached through these, so that
a deterministic simulation can run whole clusters of the same code on virtual time. Timers are the
running asyncio loop's own (`call_later`): the simulation brings its own loop.
"""
