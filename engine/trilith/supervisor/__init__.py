"""`trilith serve`: three zones as processes on one machine, watched over and controlled.

The supervisor carries no data and no protocol: it may be killed at any time without a loss. It
stays small, so nothing here imports the engine's heavy libraries.
"""
