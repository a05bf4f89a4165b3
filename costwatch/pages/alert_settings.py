"""Where alerts go: the reader's channels and wishes, those of staff, a test of each, and what messages look like."""

from datetime import timedelta

from csp.decorators import csp_replace, csp_update
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from alerts import channels, managing, operations, queries, samples, trials
from alerts.channels import Permanent
from alerts.forms import PreferenceForm, channel_form
from alerts.models import Channel

#: For how long a channel can be muted, in hours -> how it reads.
MUTES = {"1": "an hour", "24": "a day", "168": "a week"}
_NOT_OFFERED = ("in_app",)  # always there, with nothing to set up


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def settings(request: HttpRequest) -> HttpResponse:
    """The reader's channels, and what he wants to hear of."""
    form = PreferenceForm.of(queries.preferences_of(request.user), request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        operations.set_preferences(
            request.user, min_severity=values["min_severity"], types_off=form.types_off, summary=values["summary"]
        )
        messages.success(request, "Saved.")
        return redirect("alert_settings")
    now = timezone.now()
    sees_staff = queries.sees_staff_channels(request.user)
    groups = [("Your channels", _listed(queries.channels_of(request.user, at=now), now), False, True)]
    if sees_staff:
        may_change = queries.sees_staff_channels(request.user, change=True)
        groups.append(("Channels of staff", _listed(queries.staff_channels(), now), True, may_change))
    context = {
        "form": form,
        "groups": groups,
        "kinds": [kind for kind in channels.kinds().values() if kind.name not in _NOT_OFFERED],
        "mute_times": MUTES.items(),
        "mutes": queries.mutes_of(request.user, at=now),
        "here": request.path,
    }
    return render(request, "costwatch/alert_settings.html", context)


@login_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def channel_new(request: HttpRequest, kind: str) -> HttpResponse:
    """Add a channel of a kind: one of the reader's own, or with `?for=staff` one of staff."""
    for_staff = request.GET.get("for") == "staff"
    if kind in _NOT_OFFERED or (for_staff and not queries.sees_staff_channels(request.user, change=True)):
        raise Http404
    zone = request.user.time_zone
    channel = Channel(owner=None if for_staff else request.user, kind=kind, time_zone=zone)
    channel.name = channels.kinds()[kind].label if kind in channels.kinds() else ""
    return _edited(request, channel)


@login_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def channel(request: HttpRequest, channel_id: int) -> HttpResponse:
    """Change a channel."""
    return _edited(request, _found(request, channel_id))


@login_required
@require_POST
def channel_do(request: HttpRequest, channel_id: int, what: str) -> HttpResponse:
    """Test, mute, switch on again or delete a channel."""
    now, found = timezone.now(), _found(request, channel_id)
    match what:
        case "test":
            _tested(request, found)
        case "mute":
            hours = request.POST.get("hours", "")
            if hours not in MUTES and hours != "0":
                raise Http404
            managing.mute_channel(found, until=now + timedelta(hours=int(hours)) if int(hours) else None, at=now)
            messages.success(
                request, f"{found} is muted for {MUTES[hours]}." if int(hours) else f"{found} tells again."
            )
        case "enable":
            managing.enable_channel(found, at=now)
            messages.success(request, f"{found} is on again.")
        case "delete":
            managing.delete_channel(found, at=now)
            messages.success(request, f"{found} is {'off' if found.implied else 'deleted'}.")
        case _:
            raise Http404
    return redirect("alert_settings")


@login_required
@require_safe
@csp_update({"frame-src": ["'self'"]})  # for the mail's own HTML
def preview(request: HttpRequest) -> HttpResponse:
    """What the message of a type of alert looks like in a kind of channel."""
    kind, type_ = _chosen(request)
    shown, is_real = samples.shown(request.user, type_, kind=kind, at=timezone.now())
    context = {
        "shown": shown,
        "is_real": is_real,
        "kind": kind,
        "type": type_,
        "kinds": channels.kinds().values(),
        "types": samples.TYPES,
    }
    return render(request, "costwatch/alert_preview.html", context)


@login_required
@require_safe
@xframe_options_sameorigin
# Mail brings its own styles, and nothing else: no script runs, nothing is loaded, no link leads away from here.
@csp_replace(
    {
        "default-src": ["'none'"], "script-src": ["'none'"], "style-src": ["'unsafe-inline'"], "font-src": ["'none'"],
        "connect-src": ["'none'"], "img-src": ["'none'"], "form-action": ["'none'"], "frame-ancestors": ["'self'"],
        "sandbox": [""],
    }
)  # fmt: skip
def preview_mail(request: HttpRequest) -> HttpResponse:
    """The same as the mail's own HTML, for a frame."""
    _, type_ = _chosen(request)
    shown, _ = samples.shown(request.user, type_, kind="email", at=timezone.now())
    return HttpResponse(shown.html)


def _tested(request: HttpRequest, channel: Channel) -> None:
    try:
        tested = trials.send_test(channel, by=request.user, at=timezone.now())
    except trials.TooManyTests as error:
        messages.error(request, str(error))
        return
    if tested.ok:
        messages.success(request, f"{channel} took the test: {tested.words}")
    else:
        messages.error(request, f"{channel} did not take the test: {tested.words}")


def _chosen(request: HttpRequest) -> tuple[str, str]:
    """Kind and type as asked for; the first ones where they cannot be meant."""
    kind, type_ = request.GET.get("kind", ""), request.GET.get("type", "")
    return (
        kind if kind in channels.kinds() else "email",
        type_ if type_ in dict(samples.TYPES) else samples.TYPES[0][0],
    )


def _found(request: HttpRequest, channel_id: int) -> Channel:
    """A channel that the reader may change. Others' do not exist for him."""
    found = queries.find_channel(request.user, channel_id, change=True)
    if found is None:
        raise Http404
    return found


def _edited(request: HttpRequest, channel: Channel) -> HttpResponse:
    try:
        form = channel_form(channel.kind)(request.POST or None, instance=channel)
    except Permanent as error:
        raise Http404 from error
    if request.method == "POST" and form.is_valid():
        is_new = channel.pk is None
        if form.store(at=timezone.now()):
            said = "Added. Send a test to see whether it works." if is_new else "Saved."
            messages.success(request, said)
            return redirect("alert_settings")
    context = {"form": form, "channel": channel, "kind": form.kind, "unavailable": channels.unavailable(channel.kind)}
    return render(request, "costwatch/alert_channel.html", context)


def _listed(found: list[Channel], now) -> list[tuple[Channel, str, str, str]]:
    """Each channel with the label of its kind, its state in a word, and the kind of badge."""
    return [(one, _label(one.kind), *_state(one, now)) for one in found]


def _label(kind: str) -> str:
    return channels.kinds()[kind].label if kind in channels.kinds() else kind


def _state(one: Channel, now) -> tuple[str, str]:
    if one.disabled_at is not None:
        return "switched off", "bad"
    if not one.is_active:
        return "off", ""
    if one.muted_until is not None and one.muted_until > now:
        return "muted", "warn"
    if one.failing_since is not None:
        return "failing", "bad"
    if channels.unavailable(one.kind):
        return "not set up here", "warn"
    return "on", "ok"
