from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class OperationsConfig(AppConfig):
    name = "tokenhub.operations"
    label = "operations"
    verbose_name = "Operations"

    def ready(self) -> None:
        from tokenhub.operations import runs  # noqa: F401  (connects its receivers)

        autodiscover_modules("retention")
