"""Title, text, facts and link of a message as lines, escaped by whoever knows the markup."""

from collections.abc import Callable

from alerts.messages import Message


def headline(message: Message) -> str:
    """The title, saying where the alert no longer holds."""
    return f"Resolved: {message.title}" if message.resolved else message.title


def lines(message: Message, escape: Callable[[str], str], *, most: int = 3_000) -> list[str]:
    """Text and facts, together of at most `most` characters. What is too long is cut before it is escaped."""
    text = message.text
    while len(escape(text)) > most:
        text = f"{text[: len(text) * 3 // 4].rstrip('…')}…"
    kept = [escape(text)] if text else []
    left = most - len("".join(kept))
    for label, value in message.facts:
        line = f"{escape(label)}: {escape(value)}"
        left -= len(line) + 2
        if left < 2:
            return [*kept, "…"]
        kept.append(line)
    return kept
