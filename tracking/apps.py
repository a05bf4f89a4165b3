from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate, post_save


class TrackingConfig(AppConfig):
    name = "tracking"

    def ready(self) -> None:
        from tracking.pricing.signals import fill_price_book, forget_price_book

        post_migrate.connect(fill_price_book, sender=self, dispatch_uid="price_book")
        for model in ("Rate", "PricedModel"):
            for signal in (post_save, post_delete):
                signal.connect(forget_price_book, sender=self.get_model(model), dispatch_uid=f"forget_{model}")
