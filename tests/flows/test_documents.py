"""The examples of the two documents that Costwatch started from, step by step."""

import asyncio
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import JsonResponse
from django.test import Client, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from costwatch.demo.quantities import wav

make_client: list = []


@csrf_exempt
@require_POST
def transcribe(request):
    """The first document's transcription endpoint."""
    client = make_client[0](request.user)
    transcription = client.transcribe_audio(request.FILES["audio"])
    return JsonResponse({"success": True, "transcription": transcription.text})


urlpatterns = [path("transcribe", transcribe)]


def test_first_document_a_chat_a_transcription_and_a_speech(ledger, sdk, owner):
    client = sdk("first_document", owner.pk)
    answer = client.create_chat_completion([{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content
    assert client.transcribe_audio(("take.wav", wav(330))).text
    client.create_speech("a" * 5000)
    chat, heard, spoken = ledger.rows(user_id=owner.pk)
    assert (chat.service, chat.model_asked) == ("chat", "gpt-4o")
    assert (heard.service, heard.cost) == ("whisper", Decimal("0.033"))  # 5.5 minutes at $0.006
    assert (spoken.service, spoken.cost) == ("tts", Decimal("0.15"))  # 5,000 characters at $0.030 per 1,000


def test_first_document_the_transcription_endpoint(ledger, sdk, owner):
    make_client[:] = [lambda user: sdk("first_document", user)]
    browser = Client()
    browser.force_login(owner)
    with override_settings(ROOT_URLCONF=__name__):
        answer = browser.post("/transcribe", {"audio": SimpleUploadedFile("take.wav", wav(60), "audio/wav")})
    assert answer.json()["success"] and answer.json()["transcription"]
    row = ledger.row()
    assert (row.user_id, row.service, row.cost) == (owner.pk, "whisper", Decimal("0.006"))


def test_second_document_costs_recorded_by_hand_add_up_in_the_analysis(ledger, owner):
    from tracking.ai_cost_tracker import AICostTracker, atrack_ai_cost, track_ai_cost
    from tracking.models import Analysis

    cost_info = AICostTracker.calculate_anthropic_cost(
        input_tokens=1_000, output_tokens=2_000, model="claude-3-5-sonnet-20241022"
    )
    assert cost_info["cost"] == Decimal("0.033")  # 1,000 at $3 and 2,000 at $15 per million
    given = {"cost": cost_info["cost"], "model": cost_info["model"], "tokens": cost_info["tokens"]}
    track_ai_cost(analysis_id="track-17", feature="pitch_generation", user=owner.pk, **given)
    asyncio.run(atrack_ai_cost(analysis_id="track-17", feature="lyric_critique", user=owner.pk, **given))

    rows = ledger.rows()
    assert [(row.feature, row.cost, row.user_id) for row in rows] == [
        ("pitch_generation", Decimal("0.033"), owner.pk),
        ("lyric_critique", Decimal("0.033"), owner.pk),
    ]
    costs = Analysis.objects.get(pk="track-17").ai_costs
    assert costs["total"] == Decimal("0.066") and costs["calls"] == 2
    assert costs["by_feature"] == {"lyric_critique": Decimal("0.033"), "pitch_generation": Decimal("0.033")}
    assert costs["tokens"] == {"input": 2_000, "output": 4_000}


def test_second_document_the_same_id_is_recorded_once(ledger):
    from tracking.ai_cost_tracker import track_ai_cost

    for _again in range(3):
        track_ai_cost(
            id="0192e4a0-0000-7000-8000-000000000001",
            analysis_id="track-18",
            feature="pitch_generation",
            cost=Decimal("0.01"),
            model="claude-3-5-sonnet-20241022",
            tokens={"input": 10, "output": 20},
        )
    assert len(ledger.rows()) == 1


@pytest.mark.parametrize("user", [None, "alice@example.com"])
def test_first_document_the_user_may_be_nobody_or_an_email(ledger, sdk, owner, user):
    sdk("first_document", user).create_chat_completion([{"role": "user", "content": "Hello"}])
    assert ledger.row().user_id == (owner.pk if user else None)
