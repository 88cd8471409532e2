"""The OpenAPI document, and a page that shows it and tries it out."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

FIVE_MINUTES = "public, max-age=300"


@cache
def document() -> Any:
    """The OpenAPI document; the same for everybody."""
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


class Schema(APIView):
    """The OpenAPI document, as JSON or, where asked for, as YAML."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []
    renderer_classes = [
        OpenApiJsonRenderer2, OpenApiJsonRenderer, OpenApiYamlRenderer, OpenApiYamlRenderer2,
    ]  # fmt: skip

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(document(), headers={"Cache-Control": FIVE_MINUTES})


def explorer(request: HttpRequest) -> HttpResponse:
    """Every operation, to read and to try with one's own key."""
    return render(request, "api/explorer.html")
