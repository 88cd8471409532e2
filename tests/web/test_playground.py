"""The playground's page and its relay, as far as no gateway is needed; calls are in tests/e2e."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from accounts.audit import SYSTEM
from billing.media import End, finish
from billing.models import Dispute
from keys.models import ApiKey
from routing.seed.load import load_demo_catalogue
from routing.services import set_preferences
from tests import factories
from tests.processes import free_port
from tests.web.pages import safe
from tokenhub.dry_run import callable_names
from tokenhub.web.templatetags.formats import usd_column

pytestmark = pytest.mark.django_db
USD = 1_000_000_000


@pytest.fixture
def url(inside: Any) -> str:
    load_demo_catalogue("http://127.0.0.1:9")
    return reverse("playground_chat", args=[inside.slug])


def test_the_page_lists_what_can_be_called_in_three_groups(
    client: Client, url: str, django_assert_max_num_queries: Any
) -> None:
    client.get(url)
    with django_assert_max_num_queries(12):
        response = client.get(url)

    safe(response)
    groups = {group: [each.name for each in found] for group, found in response.context["names"].items()}  # fmt: skip
    assert "deepseek-v3.2" in groups["The platform routes"]
    assert "tokenhub/auto" in groups["Plan models"]
    assert "alibaba/deepseek-v3.2" in groups["Pinned"]
    assert "flux-1.1-pro" not in str(groups)
    assert "text-embedding-3-small" not in str(groups)


def test_what_the_boundaries_close_is_not_offered(client: Client, url: str, inside: Any) -> None:
    set_preferences(inside, {"denied_providers": ["alibaba"]}, actor=SYSTEM, compliance_extension=False)  # fmt: skip

    names = client.get(url).context["names"]

    assert not [each for each in names["Pinned"] if each.name.startswith("alibaba/")]


def test_a_plan_model_above_the_plan_is_not_offered(url: str) -> None:
    from billing.plans import terms_of
    from routing.selectors import load_catalogue

    starter = factories.organization(plan="starter")
    names = callable_names(starter, "text", terms=terms_of(starter), catalogue=load_catalogue())

    assert [each.name for each in names["Plan models"]] == ["tokenhub/auto"]


def test_where_nothing_is_left_the_page_says_so(client: Client, url: str, inside: Any) -> None:
    set_preferences(inside, {"allowed_models": ["flux-1.1-pro"]}, actor=SYSTEM, compliance_extension=False)  # fmt: skip

    page = client.get(url)

    assert b"No text model is left" in page.content
    assert b'id="playground"' not in page.content


def test_a_model_can_be_chosen_by_address(client: Client, url: str) -> None:
    assert client.get(url, {"model": "qwen-plus"}).context["chosen"] == "qwen-plus"
    assert client.get(url, {"model": "no-such"}).context["chosen"] != "no-such"


def test_without_javascript_the_page_says_what_is_needed_and_how_else(
    client: Client, url: str
) -> None:
    page = client.get(url).content.decode()

    assert "needs JavaScript" in page
    assert "curl http" in page


def test_what_is_left_to_spend_is_told_anew_without_what_a_video_holds_or_a_dispute_withholds(
    client: Client, url: str, inside: Any
) -> None:
    left = reverse("playground_left", args=[inside.slug])

    def told() -> str:
        return strip_tags(client.get(left).content.decode())

    shown = client.get(url).content.decode()
    assert f'data-left="{left}"' in shown
    assert told() == "$2.500000000" == strip_tags(usd_column(client.get(url).context["left_nano"]))
    factories.charge(inside, 1_000_000)  # and its service fee
    assert told() == "$2.498970000"
    task = factories.media_task(inside, hold_nano=600_000_000)  # with as much added
    assert told() == "$2.498970000"
    assert finish(task, End("failed"))
    assert told() == "$3.098970000"
    paid = factories.top_up(inside, 50 * USD)
    assert told() == "$53.098970000"
    Dispute.objects.create(
        organization=inside, top_up=paid, stripe_id=f"dp_{paid.id}", amount_nano=20 * USD
    )
    assert told() == "$33.098970000"


@pytest.mark.parametrize("body", ["", "[]", "no json", '"text"', "[" * 100_000, '{"a": "' + "x" * 1_100_000 + '"}'])  # fmt: skip
@pytest.mark.parametrize("kind", ["chat", "image", "video"])
def test_what_is_no_call_is_refused_before_a_key_is_made(
    client: Client, url: str, inside: Any, body: str, kind: str
) -> None:
    url = url.replace("/chat/", f"/{kind}/")
    response = client.post(url + "send/", body, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"
    assert not ApiKey.with_hidden.filter(organization=inside).exists()


def test_a_session_id_that_could_carry_a_header_is_refused(client: Client, url: str) -> None:
    response = client.post(
        url + "send/", "{}", content_type="application/json", headers={"X-Session-Id": "a b"}
    )

    assert response.status_code == 400


def test_a_gateway_that_is_away_is_said_and_nothing_leaks(
    client: Client, url: str, settings: Any
) -> None:
    settings.GATEWAY_URL = f"http://127.0.0.1:{free_port()}"

    response = client.post(url + "send/", json.dumps({"model": "x"}), content_type="application/json")  # fmt: skip

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "service_unavailable"
    assert b"thk_" not in response.content


def test_another_sites_form_cannot_spend_money(url: str, inside: Any) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(inside.memberships.get().user)

    response = strict.post(url + "send/", "{}", content_type="application/json")

    assert response.status_code == 403


@pytest.mark.parametrize(("kind", "model"), [("image", "wan2.6-t2i"), ("video", "wan2.7-t2v")])
def test_each_kind_offers_its_own_models_and_says_where_none_is_left(
    client: Client, url: str, inside: Any, kind: str, model: str
) -> None:
    page = client.get(reverse(f"playground_{kind}", args=[inside.slug]), {"model": model})

    safe(page)
    names = [named.name for group in page.context["names"].values() for named in group]
    assert model in names
    assert f"alibaba/{model}" in names
    assert "deepseek-v3.2" not in names
    assert page.context["chosen"] == model
    set_preferences(inside, {"allowed_models": ["deepseek-v3.2"]}, actor=SYSTEM, compliance_extension=False)  # fmt: skip
    page = client.get(reverse(f"playground_{kind}", args=[inside.slug]))
    assert f"No {kind} model is left" in page.content.decode()
    assert b'id="playground"' not in page.content
