"""Whose call it is: the client's own word, else `track`, else the web request's user."""

import asyncio
import threading

import anthropic
import httpx2
import openai
import pytest
from django.contrib.auth import aget_user
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from costwatch import clients as front
from tests.tracking.clients.making import HELLO, Clients, chat_answer, message_answer, reply
from tracking.context import Attribution, attribution, current, track
from tracking.instrument import attribution_of, instrument, metered_transport

CALL = {"model": "gpt-4o", "messages": HELLO}


@pytest.fixture
def shop():
    """A provider that always answers, and what it left."""
    return Clients(lambda request: reply(chat_answer()))


def who(event) -> tuple:
    return event.user, event.feature, event.analysis, event.tags


# --- track ----------------------------------------------------------------------------------------


def test_track_says_whose_calls_are_made_inside(shop):
    client = shop.metered()
    with track(user=7, feature="summary", analysis="A-1", team="red"):
        client.chat.completions.create(**CALL)
    client.chat.completions.create(**CALL)
    assert [who(event) for event in shop.events] == [(7, "summary", "A-1", {"team": "red"}), (None, "", "", {})]


def test_the_inner_block_overrides_and_tags_are_merged(shop):
    client = shop.metered()
    with track(user="a@example.com", feature="outer", team="red", stage="one"), track(feature="inner", stage="two"):
        client.chat.completions.create(**CALL)
    assert who(shop.event) == ("a@example.com", "inner", "", {"team": "red", "stage": "two"})


def test_what_a_client_was_made_with_wins_over_its_surroundings(shop):
    client = instrument(shop.bare(), attribution=attribution(user=1, tags={"app": "x"}), sink=shop.events.append)
    with track(user=2, feature="summary", app="y", team="red"):
        client.chat.completions.create(**CALL)
    assert who(shop.event) == (1, "summary", "", {"app": "x", "team": "red"})


def test_a_stream_belongs_to_who_began_it(shop):
    from tests.tracking.clients.making import openai_chat

    shop.handler = openai_chat
    with track(feature="chat"):
        stream = shop.metered().chat.completions.create(**CALL, stream=True)
    list(stream)
    assert shop.event.feature == "chat"


def test_tasks_do_not_mix(shop):
    client = shop.metered(openai.AsyncOpenAI)

    async def one(n):
        async with track(user=n, feature=f"f{n}"):
            await asyncio.sleep(0.001 * (5 - n))
            await client.chat.completions.create(**CALL)

    async def run():
        await asyncio.gather(*(one(n) for n in range(1, 6)))

    asyncio.run(run())
    assert sorted(who(event)[:2] for event in shop.events) == [(n, f"f{n}") for n in range(1, 6)]


def test_track_on_functions_of_every_kind():
    @track(feature="plain")
    def plain():
        return current().feature

    @track(feature="coroutine")
    async def coroutine():
        return current().feature

    @track(feature="generator")
    def generator():
        yield current().feature
        yield current().feature

    @track(feature="agenerator")
    async def agenerator():
        yield current().feature
        yield current().feature

    async def collect():
        found = []
        async for item in agenerator():
            found += [item, current().feature]
        return found

    assert plain() == "plain"
    assert asyncio.run(coroutine()) == "coroutine"
    assert [(item, current().feature) for item in generator()] == [("generator", "")] * 2
    assert asyncio.run(collect()) == ["agenerator", "", "agenerator", ""]
    assert current() == Attribution()


def test_a_recursive_function_may_be_tracked():
    @track(feature="deep")
    def down(n):
        return down(n - 1) if n else current().feature

    assert down(5) == "deep" and current().feature == ""


def test_what_is_too_long_is_cut_and_flagged():
    found = attribution(
        user="x" * 300, feature="f" * 300, analysis=12, tags={"k" * 100: "v" * 300, **{f"t{n}": n for n in range(50)}}
    )
    assert (len(found.user), len(found.feature), found.analysis) == (200, 200, "12")
    assert len(found.tags) == 32 and found.tags["k" * 64] == "v" * 200
    assert found.flags == ("cut:user", "cut:feature", "cut:tags")


def test_tags_of_both_sides_stay_bounded():
    inner = attribution(tags={f"i{n}": n for n in range(32)})
    outer = attribution(tags={f"o{n}": n for n in range(32)})
    found = inner.over(outer)
    assert found.tags == inner.tags and found.flags == ("cut:tags",)


def test_nothing_that_is_given_can_make_a_call_fail(shop):
    class Odd:
        def __str__(self):
            raise RuntimeError

    with track(user=Odd(), feature=Odd(), analysis=b"\xff", tag=Odd(), nul="a\0b", half="\ud800"):
        shop.metered().chat.completions.create(**CALL)
    event = shop.event
    assert (event.user, event.feature, event.tags["nul"]) == (None, "", "ab")
    assert {"unreadable:user", "unreadable:feature", "cut:tags"} <= set(event.flags)
    event.to_json()


@pytest.mark.parametrize(
    ("given", "known"), [(5, 5), ("5", 5), ("a@b.c", "a@b.c"), (None, None), (True, None), ("", None)]
)
def test_users_are_known_by_key_or_email(given, known):
    assert attribution(user=given, feature="x").user == known


# --- clients --------------------------------------------------------------------------------------


def test_the_front_door_returns_the_sdks_own_clients(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "local")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "local")
    made = {
        openai.OpenAI: front.openai_client("a@example.com", "f", "A-1", {"t": "1"}, max_retries=5),
        openai.AsyncOpenAI: front.async_openai_client(feature="f"),
        anthropic.Anthropic: front.anthropic_client(feature="f"),
        anthropic.AsyncAnthropic: front.async_anthropic_client(feature="f"),
    }
    for cls, client in made.items():
        assert type(client) is cls
        assert attribution_of(client).feature == "f"
    assert attribution_of(made[openai.OpenAI]) == Attribution("a@example.com", "f", "A-1", {"t": "1"})
    assert made[openai.OpenAI].max_retries == 5


def test_copies_stay_metered_and_keep_what_was_said(shop):
    client = instrument(shop.bare(), attribution=attribution(feature="f"), sink=shop.events.append)
    copies = [client.with_options(timeout=3), client.copy(max_retries=1), client.with_options().with_options(timeout=1)]
    other = httpx2.Client(transport=httpx2.MockTransport(shop.handler))
    copies += [client.with_options(http_client=other), client.with_options(timeout=2).copy(http_client=other)]
    for copy in copies:
        assert type(copy) is openai.OpenAI
        copy.chat.completions.create(**CALL)
    assert [event.feature for event in shop.events] == ["f"] * len(copies)
    openai.OpenAI(api_key="x", http_client=other).chat.completions.create(**CALL)
    assert len(shop.events) == len(copies), "the HTTP client itself is not metered"


def test_wrapping_twice_meters_once(shop):
    client = shop.metered()
    assert front.wrap(front.wrap(client)) is client
    client.chat.completions.create(**CALL)
    assert len(shop.events) == 1
    front.wrap(client, feature="new").chat.completions.create(**CALL)
    assert [event.feature for event in shop.events] == ["", "new"]


def test_a_shared_http_client_is_metered_for_its_metered_users_only(shop):
    http = httpx2.Client(transport=httpx2.MockTransport(lambda request: reply(chat_answer())))
    plain = openai.OpenAI(api_key="x", http_client=http)
    red = instrument(
        openai.OpenAI(api_key="x", http_client=http), attribution=attribution(feature="red"), sink=shop.events.append
    )
    blue = instrument(
        openai.OpenAI(api_key="x", http_client=http), attribution=attribution(feature="blue"), sink=shop.events.append
    )
    for client in (plain, red, blue, plain):
        client.chat.completions.create(**CALL)
    assert [event.feature for event in shop.events] == ["red", "blue"]
    red.close()
    assert http.is_closed and blue.is_closed() and plain.is_closed()


def test_features_may_be_copies_of_one_client(shop):
    base = shop.bare()
    one = instrument(base.with_options(), attribution=attribution(feature="one"), sink=shop.events.append)
    two = instrument(base.with_options(), attribution=attribution(feature="two"), sink=shop.events.append)
    for client in (one, base, two):
        client.chat.completions.create(**CALL)
    assert [event.feature for event in shop.events] == ["one", "two"]
    del one
    two.chat.completions.create(**CALL)
    assert not base.is_closed()


def test_azure_clients_are_metered(shop):
    client = shop.metered(
        openai.AzureOpenAI, azure_endpoint="https://red.openai.azure.com", api_version="2024-10-21", api_key="x"
    )
    client.chat.completions.create(model="my-deployment", messages=HELLO)
    event = shop.event
    assert shop.requests[0].url.path == "/openai/deployments/my-deployment/chat/completions"
    assert (event.provider, event.endpoint, event.operation) == ("azure", "/v1/chat/completions", "chat")
    assert (event.model_asked, event.model_served) == ("my-deployment", "gpt-4o-2024-08-06")


def test_vertex_clients_are_metered(shop):
    pytest.importorskip("google.auth")
    shop.handler = lambda request: reply(message_answer())
    client = shop.metered(anthropic.AnthropicVertex, region="us-east5", project_id="p", access_token="t", api_key=None)
    client.messages.create(model="claude-sonnet-4-6", messages=HELLO, max_tokens=9)
    assert (shop.event.endpoint, shop.event.quality) == ("/v1/messages", "exact")


def test_only_clients_of_the_sdks_can_be_wrapped():
    with pytest.raises(TypeError, match="not a client of the OpenAI or Anthropic SDK"):
        front.wrap(object())


def test_the_module_level_client_can_be_wrapped(monkeypatch, shop):
    monkeypatch.setattr(openai, "api_key", "local")
    monkeypatch.setattr(openai, "_client", None)
    assert front.wrap(openai, feature="module") is openai
    assert attribution_of(openai._client).feature == "module"
    openai._reset_client()


def test_proxies_of_the_environment_stay(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    client = front.openai_client(api_key="x")
    assert any(transport is not None for transport in client._client._mounts.values())
    assert metered_transport(client) is not None


def test_the_first_documents_client(shop):
    tracked = front.create_cost_tracked_client(
        7, api_key="x", http_client=httpx2.Client(transport=httpx2.MockTransport(shop._handle))
    )
    instrument(tracked.openai, attribution=attribution_of(tracked.openai), sink=shop.events.append)
    result = tracked.create_chat_completion([{"role": "user", "content": "Hello"}])
    assert result.choices[0].message.content == "Hello."
    shop.handler = lambda request: reply({"text": "hi", "usage": {"type": "duration", "seconds": 2}})
    assert tracked.transcribe_audio(b"RIFFsound").text == "hi"
    shop.handler = lambda request: reply(b"sound", content_type="audio/mpeg")
    assert tracked.create_speech("Hello").content == b"sound"
    assert [(event.user, event.model_asked) for event in shop.events] == [
        (7, "gpt-4o"),
        (7, "whisper-1"),
        (7, "tts-1-hd"),
    ]


def test_an_upload_of_django_can_be_transcribed(shop):
    from django.core.files.uploadedfile import SimpleUploadedFile

    shop.handler = lambda request: reply({"text": "hi"})
    tracked = front.CostTrackedClient(shop.metered())
    assert tracked.transcribe_audio(SimpleUploadedFile("a.mp3", b"sound")).text == "hi"
    assert b'filename="a.mp3"' in shop.requests[0].read()


# --- the web request's user -----------------------------------------------------------------------

SHOP: list[Clients] = []


def view(request):
    SHOP[0].metered().chat.completions.create(**CALL)
    return HttpResponse("ok")


def silent_view(request):
    return HttpResponse("ok")


async def async_view(request):
    await SHOP[0].metered(openai.AsyncOpenAI).chat.completions.create(**CALL)
    return HttpResponse("ok")


async def sync_client_in_async_view(request):
    SHOP[0].metered().chat.completions.create(**CALL)
    return HttpResponse("ok")


async def async_view_that_knows(request):
    request.user = await aget_user(request)
    await SHOP[0].metered(openai.AsyncOpenAI).chat.completions.create(**CALL)
    return HttpResponse("ok")


def stream_view(request):
    def parts():
        SHOP[0].metered().chat.completions.create(**CALL)
        yield "ok"

    return StreamingHttpResponse(parts())


async def async_stream_view(request):
    async def parts():
        await SHOP[0].metered(openai.AsyncOpenAI).chat.completions.create(**CALL)
        yield "ok"

    return StreamingHttpResponse(parts())


def explicit_view(request):
    with track(user="boss@example.com"):
        SHOP[0].metered().chat.completions.create(**CALL)
    return HttpResponse("ok")


urlpatterns = [
    path("view", view),
    path("silent", silent_view),
    path("async", async_view),
    path("sync-in-async", sync_client_in_async_view),
    path("knows", async_view_that_knows),
    path("stream", stream_view),
    path("async-stream", async_stream_view),
    path("explicit", explicit_view),
]


@pytest.fixture
def web(settings, shop):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "tracking.middleware.TrackingMiddleware",
    ]
    SHOP[:] = [shop]
    return shop


@pytest.mark.parametrize("url", ["view", "stream"])
@pytest.mark.django_db
def test_calls_of_a_request_belong_to_its_user(web, member, url):
    browser = Client()
    browser.force_login(member)
    assert b"".join(browser.get(f"/{url}")) == b"ok"
    assert web.event.user == member.pk


@pytest.mark.django_db
def test_an_anonymous_request_has_no_user(web):
    Client().get("/view")
    assert web.event.user is None


@pytest.mark.django_db
def test_track_is_more_precise_than_the_request(web, member):
    browser = Client()
    browser.force_login(member)
    browser.get("/explicit")
    assert web.event.user == "boss@example.com"


@pytest.mark.django_db
def test_a_request_that_calls_nobody_asks_the_database_nothing(web, member, django_assert_num_queries):
    browser = Client()
    browser.force_login(member)
    with django_assert_num_queries(0):
        browser.get("/silent")
    with django_assert_num_queries(2):  # session and user, once
        browser.get("/view")


@pytest.mark.parametrize("url", ["async", "knows", "async-stream", "sync-in-async"])
@pytest.mark.django_db(transaction=True)
def test_asynchronous_requests_too(web, url, member):
    browser = AsyncClient()
    browser.force_login(member)

    async def get():
        response = await browser.get(f"/{url}")
        if response.streaming:
            return b"".join([part async for part in response.streaming_content])
        return response.content

    assert asyncio.run(get()) == b"ok"
    assert web.event.user == member.pk


def test_a_foreign_user_model_is_known_by_its_email(web, settings):
    from tracking.middleware import RequestUser

    class Someone:
        pk, email, is_authenticated = 5, "eve@example.com", True

    request = type("Request", (), {"user": Someone()})()
    request.__dict__["user"] = Someone()
    assert RequestUser(request).resolve() == 5
    settings.AUTH_USER_MODEL = "auth.User"
    assert RequestUser(request).resolve() == "eve@example.com"


def test_a_database_that_is_away_costs_the_user_and_not_the_call(shop):
    from tracking.context import reset_request_user, set_request_user
    from tracking.failures import failures
    from tracking.middleware import RequestUser

    class Request:
        @property
        def user(self):
            raise RuntimeError("the database is away")

    token = set_request_user(RequestUser(Request()))
    try:
        shop.metered().chat.completions.create(**CALL)
    finally:
        reset_request_user(token)
    assert shop.event.user is None
    assert failures.counts()["request_user"] == 1
    failures.clear()


def test_a_new_thread_starts_without_a_context():
    found = []
    with track(feature="f"):
        thread = threading.Thread(target=lambda: found.append(current().feature))
        thread.start()
        thread.join()
    assert found == [""]
