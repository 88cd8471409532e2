"""The preferences page: boundaries saved, and what remains inside them."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from routing.models import Preferences
from routing.seed.load import load_demo_catalogue

pytestmark = pytest.mark.django_db


def test_preferences_are_saved_and_show_what_remains(client: Client, inside: Any) -> None:
    load_demo_catalogue("http://127.0.0.1:9")
    url = reverse("preferences", args=[inside.slug])

    client.post(url, {"allowed_regions": ["eu"], "strategy": "balanced"})
    page = client.get(url)

    assert Preferences.objects.get(organization=inside).allowed_regions == ["eu"]
    left = {row.model: row.left for row in page.context["remaining"]}
    assert left["deepseek-v3.2"] == 1
    assert left["qwen-plus"] == 0
    assert b"calls will fail" in page.content


def test_the_preview_saves_nothing(client: Client, inside: Any) -> None:
    load_demo_catalogue("http://127.0.0.1:9")

    page = client.post(
        reverse("preferences_preview", args=[inside.slug]), {"allowed_regions": ["us"]}
    )

    assert {row.model: row.left for row in page.context["remaining"]}["deepseek-v3.2"] == 3
    assert not Preferences.objects.filter(organization=inside).exists()
