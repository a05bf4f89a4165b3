"""pydantic-ai with its own instrumentation: an agent run with a tool, whose span repeats the sum of its calls."""

from calls import ANTHROPIC_URL, LONG, OPENAI_URL, QUESTION
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
Agent.instrument_all()

openai = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=OPENAI_URL, api_key="canary-secret"))
anthropic = AnthropicModel(
    "claude-sonnet-4-5", provider=AnthropicProvider(base_url=ANTHROPIC_URL, api_key="canary-secret")
)
clerk = Agent(openai, name="clerk", instructions=LONG)


@clerk.tool_plain
def spending_of(user: str) -> str:
    """What a user spent."""
    return f"canary-tool {user}"


for _ in range(2):
    clerk.run_sync(QUESTION)
Agent(anthropic, name="poet", instructions=LONG).run_sync(QUESTION)
provider.shutdown()
