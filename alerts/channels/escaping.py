"""Names that callers chose, made harmless in each channel's own markup.

`Message` has taken out control, zero-width and direction characters already. What is left is markup, mentions, and text
that a reader's program would turn into a link: a link in our messages is ours.
"""

import html
import re

#: Shows nothing, and keeps a program from seeing what stands on both sides of it as one thing.
GAP = "\u200b"

#: An email address and nothing else: what stands before its @ holds no scheme, port, path or query.
_ADDRESS = re.compile(r"\(?[A-Za-z0-9._%+'-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}[).,;:!?]{0,3}")
#: What mail and chat programs make links of: a scheme (whatever stands before `//`, and those that need none),
_SCHEME = re.compile(
    r"(?i):(?=[/\\]{2})|(?<=\bjavascript):|(?<=\bvbscript):|(?<=\bmailto):|(?<=\bdata):|(?<=\bfile):|(?<=\btel):"
    r"|(?<=\bsms):|(?<=\bcallto):|(?<=\bskype):|(?<=\bsip):|(?<=\btg):|(?<=\bmagnet):|(?<=\bbitcoin):"
)
#: the name of a share, and a host: by a name with letters after its last dot, of whatever alphabet, or by a number.
_SHARE = re.compile(r"\\(?=\\)")
_HOST = re.compile(r"(?<=[^\s.])[.\u3002\uff0e\uff61](?=[^\W\d_](?:[^\W\d_]|[^\x00-\x7f]))")
_NUMBER = re.compile(r"(?<!\d)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(?=\d{1,3}(?!\d))")
#: What Telegram takes for a mention, a command to a bot, a topic or a share of stock.
_TELEGRAM = re.compile(r"[@#$/](?=[^\W\d]|\d+[^\W\d])")
_MARK = re.compile(r"(?<!\w)[*_~]|[*_~](?!\w)")


def unlinked(text: str, gap: str = GAP) -> str:
    """`text` of which no program makes a link to a page; email addresses stay as they are."""
    return " ".join(word if _ADDRESS.fullmatch(word) else _apart(word, gap) for word in text.split(" "))


def _apart(text: str, gap: str = GAP) -> str:
    """`text` without anything that a program makes a link of, email addresses included: some see a host in them."""
    for pattern in (_SCHEME, _SHARE, _HOST):
        text = pattern.sub(lambda found: found[0] + gap, text)
    return _NUMBER.sub(lambda found: ".".join((found[1], gap + found[2], gap + found[3], gap)), text)


def in_html(text: str) -> str:
    """For Telegram's HTML: nobody is mentioned, and no command of a bot can be touched."""
    return html.escape(_TELEGRAM.sub(lambda mark: mark[0] + GAP, _apart(text)))


def in_slack(text: str) -> str:
    """For Markdown that Apprise turns into Slack's: `<!channel>`, `<@user>` and `<link|text>` are shown as written."""
    plain = _unmarked(_apart(text)).replace("\\", f"\\{GAP}")
    return re.sub(r"([<>\[\]()!#])", r"\\\1", plain)


def in_discord(text: str) -> str:
    """For Discord: markup is escaped, and nobody is mentioned."""
    plain = _apart(text).replace("@", f"@{GAP}").replace("<", f"<{GAP}")
    return re.sub(r"([\\`*_{}\[\]()#+!|~>-])", r"\\\1", plain)


def inert(text: str) -> str:
    """For Teams, and services whose markup is not known: no mention, tag or link is left whole."""
    plain = _unmarked(_apart(text)).replace("@", f"@{GAP}").replace("<", f"<{GAP}")
    return plain.replace("](", f"]{GAP}(")


def _unmarked(text: str) -> str:
    """Without what makes bold, italic, struck or code: marks inside of a word, as in `user_id`, stay alone."""
    return _MARK.sub(lambda mark: f"{GAP}{mark[0]}{GAP}", text.replace("`", "'"))


def in_sms(text: str) -> str:
    """For a text message, where a character outside of its alphabet makes it cost more."""
    return unlinked(text, " ").replace("…", "...")
