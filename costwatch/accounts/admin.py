"""Accounts in the admin."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm

from costwatch.accounts.forms import AccountChangeForm, AccountCreationForm
from costwatch.accounts.keys import problem_of, revoke_key
from costwatch.accounts.models import ApiKey, User
from tracking.admin import ReadOnlyAdmin


@admin.register(User)
class AccountAdmin(UserAdmin, ModelAdmin):
    form = AccountChangeForm
    add_form = AccountCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "first_name", "last_name", "is_active", "is_staff", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "groups"]
    search_fields = ["email", "first_name", "last_name"]
    ordering = ["email"]
    fieldsets = [
        (None, {"fields": ["email", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "time_zone"]}),
        ("Permissions", {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["email", "time_zone", "usable_password", "password1", "password2"]})
    ]
    readonly_fields = ["last_login", "date_joined"]

    def has_delete_permission(self, request, obj=None):
        """An account is closed, not deleted: its calls go on standing in the ledger under its number."""
        return False


admin.site.unregister(Group)


@admin.register(Group)
class AccountGroupAdmin(GroupAdmin, ModelAdmin):
    """Groups, under the admin's theme."""


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Everybody's keys: looked at, and revoked (not deleted: limits and calls name them).

    Only their owners make them, as only they may see the secret.
    """

    list_display = ["name", "user", "public_id", "prefix", "scopes", "environment", "last_used_at", "expiry", "state"]
    search_fields = ["name", "public_id", "user__email"]
    list_select_related = ["user"]
    ordering = ["-created"]
    actions = ["revoke"]
    list_display_links = None

    def get_queryset(self, request):
        return super().get_queryset(request).filter(kind=ApiKey.Kind.KEY)

    @admin.display(description="Begins with", ordering="token_key")
    def prefix(self, key: ApiKey) -> str:
        return key.token_key

    @admin.display(description="State")
    def state(self, key: ApiKey) -> str:
        return problem_of(key, now=timezone.now()) or "accepted"

    @admin.action(description="Revoke: it is refused from the next request on", permissions=["revoke"])
    def revoke(self, request, queryset):
        now = timezone.now()
        count = sum(
            revoke_key(key.user, key.public_id, now=now, generation=key.generation, by=request.user) for key in queryset
        )
        self.message_user(request, f"{count} revoked.")

    def has_revoke_permission(self, request) -> bool:
        return request.user.has_perm("accounts.delete_apikey")
