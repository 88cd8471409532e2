"""Every test of abuse begins with nothing counted, and hashes passwords quickly."""

from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.core.cache import cache

from tests import factories


@pytest.fixture(autouse=True)
def nothing_counted(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # The factories keep a hash that was made with another hasher.
    monkeypatch.setattr(factories, "_hashed", lambda: make_password(factories.PASSWORD))
    cache.clear()
