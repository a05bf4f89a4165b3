"""Which attribute says what: the GenAI conventions of OpenTelemetry by their new names and their old ones, and those
that instrumentations use instead. The first that is there counts. Pure.

`docs/guides/opentelemetry.md` shows these tables; a test compares the two.
"""

from __future__ import annotations

from tracking import marking

#: What a call asked for and what it got.
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
MODEL = (
    *("gen_ai.response.model", "langfuse.observation.model.name", "llm.model_name", "embedding.model_name"),
    *("llm.response.model",),
)
MODEL_ASKED = ("gen_ai.request.model", "llm.request.model", "model_name")
RESPONSE_ID = ("gen_ai.response.id", "llm.response.id")
REQUEST_ID = ("anthropic.request.id", "openai.request.id", "http.response.header.x-request-id")
TIER = ("openai.response.service_tier", "gen_ai.openai.response.service_tier", "anthropic.response.service_tier")
TIER_ASKED = ("openai.request.service_tier", "gen_ai.openai.request.service_tier")
STREAM = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
TTFT_S = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
FIRST_CONTENT_AT = ("langfuse.observation.completion_start_time",)
HTTP_STATUS = ("http.response.status_code", "http.status_code")
ERROR = ("error.type", "exception.type")
HOST = ("server.address", "gen_ai.openai.api_base", "net.peer.name")

#: What kind of span it is.
OPERATION = ("gen_ai.operation.name",)
REQUEST_TYPE = ("llm.request.type",)
OBSERVATION_TYPE = ("langfuse.observation.type",)
SPAN_KIND = ("openinference.span.kind", "traceloop.span.kind")
AGENT = ("gen_ai.agent.name", "agent_name")

#: Tokens. Input includes what was read from the cache and written to it, as the conventions have it; see `tokens`.
INPUT = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
    *("llm.token_count.prompt",),
)
OUTPUT = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
    *("llm.token_count.completion",),
)
TOTAL = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")
CACHE_READ = (
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
    *("gen_ai.usage.cached_input_tokens", "gen_ai.usage.cached_tokens", "gen_ai.usage.details.cache_read_tokens"),
    *("gen_ai.usage.details.cache_read_input_tokens", "gen_ai.usage.details.cached_tokens"),
    *("llm.usage.cache_read_input_tokens", "llm.token_count.prompt_details.cache_read"),
)
CACHE_WRITE = (
    *("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
    *("gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.details.cache_write_tokens"),
    *("gen_ai.usage.details.cache_creation_input_tokens", "llm.usage.cache_creation_input_tokens"),
    *("llm.token_count.prompt_details.cache_write",),
)
CACHE_WRITE_1H = (
    *("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    *("gen_ai.usage.details.ephemeral_1h_input_tokens",),
)
REASONING = (
    *("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"),
    *("gen_ai.usage.details.reasoning_tokens", "llm.usage.reasoning_tokens"),
    *("llm.token_count.completion_details.reasoning",),
)
INPUT_AUDIO = ("gen_ai.usage.details.input_audio_tokens", "llm.token_count.prompt_details.audio")
CACHE_READ_AUDIO = ("gen_ai.usage.details.cache_audio_read_tokens",)
OUTPUT_AUDIO = ("gen_ai.usage.details.output_audio_tokens", "llm.token_count.completion_details.audio")
WEB_SEARCHES = (
    *("gen_ai.usage.details.web_search_requests", "anthropic.usage.server_tool_use.web_search_requests"),
    *("gen_ai.usage.server_tool_use.web_search_requests",),
)
USAGE_DETAILS = ("langfuse.observation.usage_details",)

#: USD. A cost that the application tells is taken; one that an instrumentation computed counts where we have no price.
COST = ("costwatch.cost_usd",)
COMPUTED_COST = ("gen_ai.usage.cost", "operation.cost", "llm.usage.cost", "llm.cost.total")
COST_DETAILS = ("langfuse.observation.cost_details",)

#: Who and what for. Those that begin with `costwatch.` may stand in the resource too; what the span says wins.
FEATURE = ("costwatch.feature",)
FEATURE_ELSE = ("langfuse.trace.name", "traceloop.workflow.name", "gen_ai.workflow.name", *AGENT)
ANALYSIS = ("costwatch.analysis",)
ANALYSIS_ELSE = (
    *("langfuse.session.id", "session.id", "gen_ai.conversation.id"),
    *("traceloop.association.properties.session_id",),
)
USER = ("costwatch.user",)
USER_ELSE = ("langfuse.user.id", "user.id", "enduser.id", "traceloop.association.properties.user_id")
CALL_ID = (marking.CALL_ID,)  # set by Costwatch's own clients: the call stands in the ledger already
TAGS = ("langfuse.trace.tags", "tag.tags")
SERVICE = ("service.name",)
ENVIRONMENT = ("deployment.environment.name", "deployment.environment", "langfuse.environment")
TAG_PREFIX, PROPERTY_PREFIX = "costwatch.tag.", "traceloop.association.properties."

#: Every other attribute is passed over: it is not even decoded.
READ = frozenset(
    name
    for key, names in list(globals().items())
    if key.isupper() and names.__class__ is tuple
    for name in names
)  # fmt: skip
PREFIXES = (TAG_PREFIX, PROPERTY_PREFIX)
#: What a call takes over from other spans of the same call.
ABOUT = frozenset(
    (*FEATURE, *FEATURE_ELSE, *ANALYSIS, *ANALYSIS_ELSE, *USER, *USER_ELSE, *TAGS, *SERVICE, *ENVIRONMENT)
)
