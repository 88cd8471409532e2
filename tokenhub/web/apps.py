from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "tokenhub.web"
    verbose_name = "Public site"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tokenhub.web import checks  # noqa: F401  (registers them)
