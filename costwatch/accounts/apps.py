from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "costwatch.accounts"
    label = "accounts"
