"""Does a request cost the same among many? Keys, organizations and offerings, few and many (``--scale``)."""

from django.conf import settings

from billing.models import Agreement
from keys import secrets
from keys.models import ApiKey
from routing.models import Endpoint, Model, Offering, Price, PriceComponent
from tests import factories

FEW_KEYS, MANY_KEYS = 10, 10_000
MANY_ORGANIZATIONS = 1_000
MANY_OFFERINGS = 1_000


def keys(organizations: int, count: int) -> list[str]:
    """Secrets of ``count`` keys, spread over new organizations without limits that matter."""
    pepper = secrets.peppers(settings.FIELD_ENCRYPTION_KEYS)[0]
    made, said = [], []
    for _ in range(organizations):
        tenant = factories.organization(credit_nano=10**13)
        Agreement.objects.create(
            organization=tenant, rpm=100_000_000, agreed_by="bench", reference="bench"
        )
        for _ in range(count // organizations):
            secret = secrets.new_secret("inference")
            said.append(secret)
            made.append(
                ApiKey(
                    organization=tenant, name="bench", kind="inference",
                    digest=secrets.digest(secret, pepper), prefix=secret[:8], last4=secret[-4:],
                )
            )  # fmt: skip
    ApiKey.objects.bulk_create(made, batch_size=1_000)
    return said


def offerings(count: int) -> None:
    """So many more offerings, each of a model of its own that nobody asks for."""
    endpoint = Endpoint.objects.filter(dialect="openai").first()
    assert endpoint is not None
    for number in range(count):
        model = Model.objects.create(
            slug=f"bench-{number}", name=f"Bench {number}", modality="text"
        )
        offering = Offering.objects.create(
            model=model, endpoint=endpoint, upstream_model=f"bench-{number}"
        )
        price = Price.objects.create(offering=offering)
        PriceComponent.objects.create(price=price, unit="input", amount_nano=1)
        PriceComponent.objects.create(price=price, unit="output", amount_nano=1)
