"""Property tests of the fleet file prove facts, not speed: a busy computer must not fail them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
