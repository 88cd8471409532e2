from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "tokenhub.api"
    label = "api"
    verbose_name = "REST API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tokenhub.api import mapping  # noqa: F401  (what it defines is registered with drf-spectacular)
