"""Of all tests: no property fails because the machine does other work; no time is asserted."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("any_speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_speed")
