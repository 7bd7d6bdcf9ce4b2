"""The native core of Trilith: one extension module per subject, and nothing else here.

Modules raise ValueError, OverflowError, TypeError and OSError only; the domain's errors belong to
the floors above. Nothing here knows of asyncio, configuration or paths.
"""
