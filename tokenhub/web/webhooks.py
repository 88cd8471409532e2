"""Where Stripe tells us what happened."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.models import StripeEvent
from billing.payments import inbox

MAX_BYTES = 1024 * 1024


@csrf_exempt  # signed by Stripe instead
@require_POST
def stripe(request: HttpRequest) -> HttpResponse:
    """Take in one event. 200 once it is done, 400 for what Stripe did not sign, 500 to be sent it again."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES:
        return JsonResponse({"error": "Too large."}, status=413)
    try:
        event = inbox.receive(request.body, request.headers.get("Stripe-Signature", ""))
    except ValueError:
        return JsonResponse({"error": "The signature does not match."}, status=400)
    failed = event.status == StripeEvent.Status.FAILED
    return JsonResponse({"status": event.status}, status=500 if failed else 200)
