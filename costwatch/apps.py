"""The composition root as a Django app, for its management commands; and the admin it brings."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class CostwatchConfig(AppConfig):
    name = "costwatch"
    default = True


class CostwatchAdminConfig(AdminConfig):
    default_site = "costwatch.sites.CostwatchAdminSite"
    default = False

    def ready(self) -> None:
        from costwatch.theme import give_names

        give_names()
        super().ready()
