"""Settings of the property tests: no deadline, for oracles are slow and machines busy."""

from hypothesis import settings

settings.register_profile("native", deadline=None)
settings.load_profile("native")
