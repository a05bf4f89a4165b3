"""The Langfuse SDK: its drop-in OpenAI client under a trace of its own, and a generation told by hand."""

from calls import MESSAGES, OPENAI_URL, QUESTION, chats, responses
from langfuse import get_client, observe, propagate_attributes
from langfuse.openai import OpenAI

langfuse = get_client()
client = OpenAI(base_url=OPENAI_URL, api_key="canary-secret", max_retries=0)


@observe()
def answer_a_ticket(question: str) -> str:
    with propagate_attributes(user_id="user-17", session_id="session-4", tags=["beta", "blue"], trace_name="ticket"):
        chats(client)
        responses(client)
        with langfuse.start_as_current_observation(
            as_type="generation", name="by-hand", model="claude-sonnet-4-5", input=MESSAGES
        ) as generation:
            generation.update(
                output="canary-output",
                usage_details={"input": 100, "output": 20, "cache_read_input_tokens": 1000},
            )
    return "canary-output"


answer_a_ticket(QUESTION)
langfuse.flush()
langfuse.shutdown()
