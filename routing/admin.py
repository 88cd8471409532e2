"""The catalogue for operators. A credential can be set, never read; a price in force is never changed."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from import_export.admin import ImportMixin
from import_export.forms import ConfirmImportForm, ImportForm

from accounts import egress
from routing.models import (
    CredentialAlarm,
    Endpoint,
    HealthSample,
    Model,
    Offering,
    OfferingHealth,
    PlanModel,
    Preferences,
    Price,
    PriceComponent,
    Provider,
    Region,
    SpareCredential,
)
from routing.price_list import PriceListCsv, PriceListResource

admin.site.register(Region)


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """The stored credential never reaches the page; an empty field keeps it."""

    credential = forms.CharField(
        required=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Leave empty to keep the one that is stored.",
    )

    class Meta:
        model = Endpoint
        fields = ["provider", "region", "dialect", "base_url", "credential"]

    def clean_base_url(self) -> str:
        given: str = self.cleaned_data["base_url"]
        try:
            egress.check_url(given)
        except egress.Refused as refused:
            raise forms.ValidationError(str(refused)) from None
        return given

    def clean_credential(self) -> str:
        given: str = self.cleaned_data["credential"]
        if given and not given.isprintable():
            raise forms.ValidationError("A credential is one line of printable characters.")
        return given or str(self.instance.credential or "")


class EndpointInline(admin.TabularInline):  # type: ignore[type-arg]
    """Where a provider is reached."""

    model = Endpoint
    form = EndpointForm
    extra = 0


class SpareCredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    """Likewise for the further ones."""

    secret = forms.CharField(
        required=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Leave empty to keep the one that is stored.",
    )

    class Meta:
        model = SpareCredential
        fields = ["position", "label", "secret", "enabled"]

    def clean_secret(self) -> str:
        given: str = self.cleaned_data["secret"]
        if given and not given.isprintable():
            raise forms.ValidationError("A credential is one line of printable characters.")
        if not given and not self.instance.pk:
            raise forms.ValidationError("A new credential needs its secret.")
        return given or str(self.instance.secret)


class SpareCredentialInline(admin.TabularInline):  # type: ignore[type-arg]
    """Used in this order where the endpoint's own is refused or limited."""

    model = SpareCredential
    form = SpareCredentialForm
    extra = 0


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What the platform writes and operators read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Where a provider is reached, and with what."""

    form = EndpointForm
    list_display = ["provider", "region", "dialect", "base_url"]
    list_select_related = ["provider", "region"]
    list_filter = ["provider", "region", "dialect"]
    inlines = [SpareCredentialInline]


@admin.register(CredentialAlarm)
class CredentialAlarmAdmin(ReadOnlyAdmin):
    """Credentials of ours that a provider refuses."""

    list_display = ["endpoint", "fingerprint", "status", "first_at", "last_at", "cleared_at"]
    list_select_related = ["endpoint__provider"]
    list_filter = [("cleared_at", admin.EmptyFieldListFilter), "endpoint__provider"]


@admin.register(OfferingHealth)
class OfferingHealthAdmin(ReadOnlyAdmin):
    """How every offering does now."""

    list_display = [
        "model_name", "provider", "region", "status", "since", "reason", "latency_ms", "tokens_per_s",
        "last_probe_at", "last_probe_outcome", "last_probe_ms", "last_observed_at",
    ]  # fmt: skip
    list_select_related = ["offering__model", "offering__endpoint__provider"]
    list_filter = [
        "status", "offering__model__modality", "offering__endpoint__provider", "offering__endpoint__region",
    ]  # fmt: skip
    search_fields = ["offering__model__slug", "offering__endpoint__provider__slug", "reason"]
    ordering = ["-status", "offering__model__slug"]

    @admin.display(description="model", ordering="offering__model__slug")
    def model_name(self, obj: OfferingHealth) -> str:
        return str(obj.offering.model)

    @admin.display(ordering="offering__endpoint__provider__slug")
    def provider(self, obj: OfferingHealth) -> str:
        return str(obj.offering.endpoint.provider)

    @admin.display(ordering="offering__endpoint__region")
    def region(self, obj: OfferingHealth) -> str:
        return str(obj.offering.endpoint.region_id)


@admin.display(description="Offering", ordering="offering__model__slug")
def offered(obj: Any) -> str:
    """Which offering a row is about, in names."""
    endpoint = obj.offering.endpoint
    return f"{obj.offering.model} at {endpoint.provider}, {endpoint.region_id}"


@admin.register(HealthSample)
class HealthSampleAdmin(ReadOnlyAdmin):
    """What probes and real calls saw, one by one."""

    list_display = ["at", offered, "source", "successes", "failures", "outcome", "latency_ms"]
    list_select_related = ["offering__model", "offering__endpoint__provider"]
    list_filter = ["source", "outcome", "offering__endpoint__provider"]
    date_hierarchy = "at"
    show_full_result_count = False


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Who runs models."""

    list_display = ["name", "slug", "zero_retention", "no_training", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "slug"]
    inlines = [EndpointInline]


@admin.register(Model)
class ModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What is offered."""

    list_display = ["slug", "name", "modality", "status"]
    list_filter = ["modality", "status"]
    search_fields = ["slug", "name"]


class PriceComponentInline(admin.TabularInline):  # type: ignore[type-arg]
    """The amounts of a price version."""

    model = PriceComponent
    extra = 0

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _still_to_come(obj)

    has_add_permission = has_change_permission
    has_delete_permission = has_change_permission


class _EffectiveFrom(forms.Form):
    """From when on the prices of a list are charged."""

    effective_from = forms.DateTimeField(
        required=False,
        label="In force from (UTC)",
        help_text="Such as 2027-01-01 00:00. Empty: as soon as it is confirmed.",
    )

    def clean_effective_from(self) -> Any:
        at = self.cleaned_data["effective_from"]
        if at is not None and at <= timezone.now():
            raise forms.ValidationError("A price cannot take effect in the past.")
        return at


class PriceListForm(ImportForm, _EffectiveFrom):  # type: ignore[misc]
    """The file, and from when on."""


class PriceListConfirmForm(ConfirmImportForm, _EffectiveFrom):  # type: ignore[misc]
    """What was previewed, unchanged."""

    effective_from = forms.DateTimeField(required=False, widget=forms.HiddenInput())


@admin.register(Price)
class PriceAdmin(ImportMixin, admin.ModelAdmin):  # type: ignore[misc,type-arg]
    """Price versions: add a new one to change a price, or import a list of them."""

    resource_classes = [PriceListResource]
    import_form_class = PriceListForm
    confirm_form_class = PriceListConfirmForm
    import_template_name = "admin/routing/price/import.html"

    def get_import_formats(self) -> list[Any]:
        return [PriceListCsv]

    def get_confirm_form_initial(self, request: HttpRequest, import_form: Any) -> dict[str, Any]:
        initial = super().get_confirm_form_initial(request, import_form)
        if import_form is not None:
            initial["effective_from"] = import_form.cleaned_data["effective_from"]
        return dict(initial)

    def get_import_resource_kwargs(self, request: HttpRequest, **more: Any) -> dict[str, Any]:
        given = super().get_import_resource_kwargs(request, **more)
        form = more.get("form")
        at = form.cleaned_data.get("effective_from") if form is not None and form.is_bound else None
        return {**given, "effective_from": at}

    list_display = [offered, "effective_from", "created_at"]
    list_select_related = ["offering__model", "offering__endpoint__provider"]
    raw_id_fields = ["offering"]
    inlines = [PriceComponentInline]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _still_to_come(obj)

    has_delete_permission = has_change_permission


def _still_to_come(price: Any) -> bool:
    return price is None or price.pk is None or price.effective_from > timezone.now()


@admin.register(Offering)
class OfferingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Which model is run by whom, where."""

    list_display = ["model", "endpoint", "upstream_model", "weight", "enabled"]
    list_select_related = ["model", "endpoint__provider", "endpoint__region"]
    list_filter = ["enabled", "endpoint__region", "endpoint__provider"]
    search_fields = ["model__slug", "upstream_model"]


@admin.register(PlanModel)
class PlanModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Curated names by plan."""

    list_display = ["name", "plan", "models"]


@admin.register(Preferences)
class PreferencesAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Customers' boundaries; theirs to change."""

    list_display = ["organization", "strategy", "version", "updated_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
