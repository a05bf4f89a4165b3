"""The flags of calls in words. Pure."""

_WORDS = {
    "absurd_cost": "The cost came out beyond what one call can cost, so it was not believed.",
    "absurd_quantity": "The provider reported a quantity beyond what one call can use, so it was not believed.",
    "absurd_usage": "The provider reported a quantity beyond what one call can use, so it was not believed.",
    "admitted_unpriced": "A hard limit let it through although its price was not known.",
    "bad_cost": "The cost that was given with it is not an amount of money.",
    "bad_tags": "Its tags could not be read and were left out.",
    "cache_write_mismatch": "The parts of what was written to the cache do not add up to its sum.",
    "cached_details_exceed_cached": "The parts of what was read from the cache add up to more than its sum.",
    "cached_exceeds_input": "More input was reported as cached than there was input.",
    "cached_split_assumed": "How cached tokens divide into text and other kinds was not reported: taken to be text.",
    "cut:tags": "It has more tags than are kept; the rest was left out.",
    "deep_usage": "The usage report was nested too deeply to be kept.",
    "details_exceed_input": "The parts of the input add up to more than the input.",
    "details_exceed_output": "The parts of the output add up to more than the output.",
    "empty_usage": "The provider reported its usage, and nothing in it.",
    "estimated_from_deltas": "The stream ended before its usage was told: the output was counted as it came.",
    "expired_hold": "Nothing was heard of it in time: counted at what had been held for it.",
    "fallback_credit": "The provider reported a credit that is not understood.",
    "garbled_stream": "A part of the stream could not be read.",
    "gate_failed": "Budgets could not be checked before it; it was let through, and counted afterwards.",
    "gate_unchecked": "Budgets could not be checked before it; no hard limit was known to apply.",
    "held_as_expected": "Before it, what such calls usually cost was set aside, not the most it could cost.",
    "held_at_assumed_price": "Before it, money was set aside at an assumed price: its own was not known.",
    "input_estimated": "The input was not reported: estimated from the size of the request.",
    "iterations_mismatch": "The parts of the usage do not add up to its sum.",
    "large_body": "The answer was too large to be read for its usage.",
    "large_usage": "The usage report was larger than is kept.",
    "measured_duration": "The provider did not report the duration: measured from the file.",
    "metering_failed": "Something went wrong while it was metered; its usage may be missing.",
    "no_usage": "No usage was reported.",
    "not_finite": "The usage report holds a number that is none.",
    "pricing_failed": "Its price could not be computed.",
    "search_assumed": "Taken to be one web search: the answer does not report the number.",
    "speech_tokens_estimated": "Tokens are estimated from the number of characters.",
    "summed_usage": "Usage was reported in several parts, which were added up.",
    "tier_assumed": "The answer does not say in which tier it was served: taken to be the one asked for.",
    "time_out_of_range": "Its time could not be right; it stands at the time when it was recorded.",
    "total_mismatch": "The total that was reported is not the sum of its parts.",
    "transcription_tokens_unknown": "Billed in tokens that are not reported: priced by the minute.",
    "unknown_duration": "The duration was neither reported nor could it be measured.",
    "unknown_operation": "The operation is not one that Costwatch knows.",
    "unknown_user": "It named a user who has no account here.",
    "unread_stream": "The stream is framed in a way that is not read, so its usage is missing.",
    "unreadable_body": "The answer could not be read for its usage.",
    "unreadable_encoding": "The answer came in an encoding that could not be read.",
    "unreadable_usage": "The usage report could not be read.",
    "usage_not_offered": "The provider would not report the usage of this stream.",
    "usage_too_large": "The usage report was larger than is kept.",
}
#: Of flags that name what they are about: "cut:feature".
_ABOUT = {
    "absurd": "“{}” was reported as more than one call can use.",
    "changed": "Characters that cannot be kept were taken out of “{}”.",
    "cut": "“{}” was longer than is kept, and cut.",
    "details_mismatch": "The parts of the {} do not add up to its sum.",
    "missing": "“{}” is missing from the usage report.",
    "negative": "“{}” was reported as less than nothing.",
    "not_a_number": "“{}” was reported as something that is no number.",
    "not_a_text": "“{}” was reported as something that is no text.",
    "not_finite": "“{}” was reported as something that is no number.",
    "not_whole": "“{}” was reported as a fraction.",
    "too_large": "“{}” was larger than is kept.",
    "unknown_field": "The usage report holds “{}”, which is not known: it may cost something.",
    "unreadable": "“{}” could not be read.",
}


def in_words(flag: str) -> str:
    """What a flag says; itself where it is not known."""
    if flag in _WORDS:
        return _WORDS[flag]
    kind, _, about = flag.partition(":")
    if about and kind in _ABOUT:
        return _ABOUT[kind].format(about)
    if flag.startswith("estimated_from_"):
        return f"The usage is estimated from {flag.removeprefix('estimated_from_').replace('_', ' ')}."
    return flag
