"""Which database a model lives in."""

from django.conf import settings


class LedgerRouter:
    """Puts `ApiUsageLog`, and it alone, on the alias that `LEDGER_DATABASE` names."""

    def _alias(self, model) -> str | None:
        if model._meta.app_label == "tracking" and model._meta.model_name == "apiusagelog":
            return settings.LEDGER_DATABASE
        return None

    def db_for_read(self, model, **hints) -> str | None:
        return self._alias(model)

    def db_for_write(self, model, **hints) -> str | None:
        return self._alias(model)

    def allow_migrate(self, db, app_label, model_name=None, **hints) -> bool | None:
        if settings.LEDGER_DATABASE == "default":
            return None
        is_ledger = app_label == "tracking" and model_name == "apiusagelog"
        return is_ledger == (db == settings.LEDGER_DATABASE) if is_ledger or db == settings.LEDGER_DATABASE else None
