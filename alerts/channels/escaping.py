"""Names that callers chose, made harmless in each channel's own markup.

`Message` has taken out control, zero-width and direction characters already. What is left is markup, mentions, and text
that a reader's program would turn into a link: a link in our messages is ours.
"""

import html
import re

#: Shows nothing, and keeps a program from seeing what stands on both sides of it as one thing.
GAP = "\u200b"

_ADDRESS = re.compile(r"[^\s@<>()]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+[.,;:!?]?")
#: What mail and chat programs make links of: a scheme, or a host's name with letters after its last dot.
_SCHEME = re.compile(r"(?i):(?=//)|(?<=\bjavascript):|(?<=\bmailto):|(?<=\bdata):|(?<=\btel):")
_MARK = re.compile(r"(?<!\w)[*_~]|[*_~](?!\w)")
_HOST = re.compile(r"(?i)(?<=[\w-])\.(?=[^\W\d_]{2})")


def unlinked(text: str, gap: str = GAP) -> str:
    """`text` of which no program makes a link; email addresses stay as they are."""
    return " ".join(word if _ADDRESS.fullmatch(word) else _apart(word, gap) for word in text.split(" "))


def _apart(word: str, gap: str) -> str:
    return _HOST.sub(lambda dot: dot[0] + gap, _SCHEME.sub(lambda scheme: scheme[0] + gap, word))


def in_html(text: str) -> str:
    """For HTML and for Telegram's part of it."""
    return html.escape(unlinked(text))


def in_slack(text: str) -> str:
    """For Markdown that Apprise turns into Slack's: `<!channel>`, `<@user>` and `<link|text>` are shown as written."""
    plain = _unmarked(unlinked(text)).replace("\\", f"\\{GAP}")
    return re.sub(r"([<>\[\]()!#])", r"\\\1", plain)


def in_discord(text: str) -> str:
    """For Discord: markup is escaped, and nobody is mentioned."""
    plain = unlinked(text).replace("@", f"@{GAP}").replace("<", f"<{GAP}")
    return re.sub(r"([\\`*_{}\[\]()#+!|~>-])", r"\\\1", plain)


def inert(text: str) -> str:
    """For Teams, and services whose markup is not known: no mention, tag or link is left whole."""
    plain = _unmarked(unlinked(text)).replace("@", f"@{GAP}").replace("<", f"<{GAP}")
    return plain.replace("](", f"]{GAP}(")


def _unmarked(text: str) -> str:
    """Without what makes bold, italic, struck or code: marks inside of a word, as in `user_id`, stay alone."""
    return _MARK.sub(lambda mark: f"{GAP}{mark[0]}{GAP}", text.replace("`", "'"))


def in_sms(text: str) -> str:
    """For a text message, where a character outside of its alphabet makes it cost more."""
    return unlinked(text, " ").replace("…", "...")
