"""What open pages ask again and again: has anything happened? A small read of sums, and nothing where nothing came."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from alerts.queries import unread_count
from tracking.api.access import sees_all
from tracking.overview import live_mark


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """204 where nothing came since the mark `?since=` and `?unread=` alerts; else both as they are now."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    mark, unread = mark_of(request), unread_count(request.user)
    if request.GET.get("since") == mark and request.GET.get("unread") in (None, "", str(unread)):
        return HttpResponse(status=204, headers={"Cache-Control": "no-store"})
    answer = {"mark": mark, "unread": unread}
    return JsonResponse(answer, headers={"Cache-Control": "no-store"})


def mark_of(request: HttpRequest) -> str:
    """What stands for all that the reader may see, as it is now: another mark, another state."""
    user_id = None if sees_all(request.user) else request.user.pk
    return live_mark(at=timezone.now(), user_id=user_id)
