"""The types of alerts and their severities, by name. Pure."""

from django.db.models import TextChoices


class Type(TextChoices):
    """What an alert is about."""

    THRESHOLD = "threshold", "a threshold of a limit is passed"
    EXCEEDED = "exceeded", "a limit is exceeded"
    REFUSED = "refused", "calls are refused"
    PAUSED = "paused", "paid calls are paused"
    RESUMED = "resumed", "a pause is over"
    FORECAST = "forecast", "a limit is forecast to be exceeded"
    UNUSUAL_SPEND = "unusual_spend", "spending is unusual"
    UNPRICED = "unpriced", "calls have no price"
    RATE_CHANGED = "rate_changed", "a price has changed"
    INCREASE_ASKED = "increase_asked", "somebody asks for more"
    INCREASE_APPROVED = "increase_approved", "more was approved"
    INCREASE_REFUSED = "increase_refused", "more was refused"
    RECORDER_BEHIND = "recorder_behind", "calls wait to be recorded"
    SPOOL_GROWING = "spool_growing", "the spool is growing"
    CALLS_LOST = "calls_lost", "calls were not recorded"
    HOLDS_EXPIRED = "holds_expired", "calls were never heard of again"
    LEDGER_STRAY = "ledger_stray", "rows of the ledger are in no month"
    CHANNEL_DIED = "channel_died", "a channel was switched off"
    MAIL_FAILING = "mail_failing", "mail cannot be sent"
    DIGEST = "digest", "a digest"
    MORE = "more", "more alerts than a channel takes in an hour"


class Severity(TextChoices):
    """How much it matters. Critical: calls are being refused, or costs are not being recorded."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


#: From the least to the most.
RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}

#: Answers to what somebody did or was told before: a channel's least severity does not hold them back, its types do.
ANSWERS = frozenset(
    {
        Type.RESUMED,
        Type.INCREASE_ASKED,
        Type.INCREASE_APPROVED,
        Type.INCREASE_REFUSED,
        Type.CHANNEL_DIED,
        Type.DIGEST,
        Type.MORE,
    }
)
#: What another alert of the same moment says too: sent only to channels that name the type.
ON_REQUEST = frozenset({Type.PAUSED})
#: Messages about alerts: they are delivered, and are no news in the list of alerts themselves.
ABOUT_ALERTS = frozenset({Type.MORE})
#: One message that stands for several alerts.
BUNDLES = frozenset({Type.DIGEST, Type.MORE})
#: What happened, once: it never holds, so that it is never over either. All other types are how things stand.
NEWS = frozenset(
    {
        Type.RESUMED,
        Type.RATE_CHANGED,
        Type.INCREASE_APPROVED,
        Type.INCREASE_REFUSED,
        Type.DIGEST,
        Type.MORE,
    }
)
#: What its end does not undo: to be read also when it is over. All other types count as read then.
LASTING = frozenset({Type.CALLS_LOST, Type.UNUSUAL_SPEND})
