"""Changes elsewhere that change which limits apply."""

from django.contrib.auth import get_user_model
from django.db.models.signals import m2m_changed
from django.dispatch import receiver


@receiver(m2m_changed, sender=get_user_model().groups.through, dispatch_uid="budgets_group_members")
def members_changed(action: str, **_) -> None:
    """Who is in a group decides whether its limit counts his calls."""
    if action.startswith("post_"):
        from budgets.changes import bump_book

        bump_book()
