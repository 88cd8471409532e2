from django.contrib.admin.apps import AdminConfig


class OperationsAdminConfig(AdminConfig):
    """Django's admin with ``OperationsSite`` as ``admin.site``."""

    default_site = "tokenhub.operations.site.OperationsSite"
