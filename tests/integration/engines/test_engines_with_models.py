"""The engines with their real models: they hear what they say.

Needs ``tandem models fetch --default`` and the extras ``voice`` and ``llm``; what is not there is skipped with the
command that brings it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Literal, TypeVar

import numpy as np
import pytest
from msgspec import Struct

from tandem.core.errors import TooLarge, Unavailable
from tandem_agents.engines import select
from tandem_agents.engines.audio import concat, resample, silence
from tandem_agents.engines.chatting import ask_for, complete
from tandem_agents.engines.kinds import (
    Audio,
    ChatOptions,
    Embedder,
    LanguageModel,
    Message,
    SpeechToText,
    TextToSpeech,
)
from tandem_agents.engines.vad import segments
from tandem_agents.engines.wake import NameMatcher

pytestmark = [pytest.mark.integration, pytest.mark.models, pytest.mark.timeout(300)]

T = TypeVar("T")

SENTENCES = [
    "What is the capital of France?",
    "Turn off the kitchen light.",
    "Please remind me to call the dentist tomorrow.",
    "My sister lives in a small village by the sea.",
    "I left my keys on the table near the door.",
]
ENGLISH = ["af_heart", "am_michael", "bf_emma", "bm_george"]


def opened(opening: Awaitable[T]) -> T:
    """The engine, or a skip that says what is missing. Engines are bound to no event loop."""

    async def wait() -> T:
        return await opening

    try:
        return asyncio.run(wait())
    except Unavailable as error:
        pytest.skip(f"{error}")


@pytest.fixture(scope="module")
def speaker() -> TextToSpeech:
    return opened(select.open_text_to_speech())


@pytest.fixture(scope="module")
def listener() -> SpeechToText:
    return opened(select.open_speech_to_text())


@pytest.fixture(scope="module")
def thinker() -> LanguageModel:
    return opened(
        select.open_language_model(select.LanguageModelSettings(model="qwen2.5-0.5b", context_tokens=1024))
    )


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return opened(select.open_embedder())


async def spoken(speaker: TextToSpeech, text: str, voice: str, rate: int = 16_000) -> Audio:
    async with aclosing(speaker.synthesize(text, voice=voice)) as pieces:
        return resample(concat([piece async for piece in pieces]), rate)


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z ]", "", text.lower().replace("-", "")).split()


def word_errors(said: str, heard: str) -> int:
    """Levenshtein distance in words."""
    left, right = words(said), words(heard)
    row = list(range(len(right) + 1))
    for i, word in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


async def test_what_is_spoken_is_understood(speaker: TextToSpeech, listener: SpeechToText) -> None:
    """Four voices' sentences are read back with at most one word in seven wrong."""
    wrong = total = 0
    for voice in ENGLISH:
        for sentence in SENTENCES:
            transcript = await listener.transcribe(await spoken(speaker, sentence, voice, rate=24_000))
            wrong += word_errors(sentence, transcript.text)
            total += len(words(sentence))
    assert wrong / total < 1 / 7


async def test_speech_is_sound_of_a_plausible_length(speaker: TextToSpeech) -> None:
    """Twenty words take four to fifteen seconds, are audible and not clipped, and faster means shorter."""
    text = "This sentence has exactly ten words, counting every single one. " * 2
    normal = await spoken(speaker, text, "af_heart", rate=speaker.rate)
    async with aclosing(speaker.synthesize(text, voice="af_heart", speed=1.5)) as pieces:
        fast = concat([piece async for piece in pieces])
    assert 4 < normal.seconds < 15
    assert 0.1 < float(np.abs(normal.samples).max()) <= 1.0
    assert fast.seconds < 0.85 * normal.seconds


async def test_sentences_arrive_one_by_one_and_closing_stops_the_rest(speaker: TextToSpeech) -> None:
    """The first sentence is there before the second; closed, the engine is free for the next request."""
    long = "It goes on, " * 15 + "and stops."
    stream = speaker.synthesize(f"Hello there. {long}")
    first = await anext(stream)
    assert first.seconds < 3
    await stream.aclose()
    assert (await spoken(speaker, "Done.", "af_heart")).seconds > 0.2
    assert [piece async for piece in speaker.synthesize("*** 🙂 ...")] == []


async def test_every_voice_of_the_catalogue_speaks(speaker: TextToSpeech) -> None:
    """Each language has a voice, and each makes sound."""
    assert {voice.language for voice in speaker.voices} == {"en-US", "en-GB", "es", "fr", "it", "pt-BR"}
    for voice in speaker.voices:
        assert (await spoken(speaker, "Radio. Animal.", voice.id)).seconds > 0.5


async def test_a_stream_is_written_down_while_it_is_spoken(
    speaker: TextToSpeech, listener: SpeechToText
) -> None:
    """Hypotheses come before the end, lines become final in order, and the final text is right."""
    said = "My sister lives in a small village by the sea."
    clip = concat([await spoken(speaker, said, "am_michael", rate=24_000), silence(1.0, 24_000)])
    fed = 0

    async def microphone() -> AsyncIterator[Audio]:
        nonlocal fed
        for at in range(0, len(clip.samples), 2400):
            fed = at
            yield Audio(clip.samples[at : at + 2400], 24_000)

    lines: dict[int, str] = {}
    final: dict[int, bool] = {}
    early = False
    async with aclosing(listener.stream(microphone())) as hypotheses:
        async for heard in hypotheses:
            assert not final.get(heard.line)
            lines[heard.line], final[heard.line] = heard.text, heard.final
            early = early or fed < len(clip.samples) / 2
            assert 0 <= heard.start_s <= heard.end_s <= clip.seconds + 1
    assert early
    assert all(final.values())
    assert sorted(lines) == list(range(len(lines)))
    assert word_errors(said, " ".join(lines[line] for line in sorted(lines))) <= 2


async def test_silence_says_nothing(listener: SpeechToText) -> None:
    """No words are invented for digital silence or an empty clip."""
    assert (await listener.transcribe(silence(2, 16_000))).text == ""
    assert (await listener.transcribe(silence(0, 16_000))).text == ""


async def test_speech_is_found_between_silence_and_noise(speaker: TextToSpeech) -> None:
    """Two utterances are found within a quarter second of where they are; noise alone is not speech."""
    vad = opened_now(select.open_voice_activity)
    utterance = await spoken(speaker, SENTENCES[1], "af_heart")
    clip = concat([silence(1, 16_000), utterance, silence(1.5, 16_000), utterance, silence(1, 16_000)])
    found = segments(vad, clip)
    starts = [1.0, 1.0 + utterance.seconds + 1.5]
    assert len(found) == 2
    for segment, start in zip(found, starts, strict=True):
        assert segment.start_s == pytest.approx(start, abs=0.25)
        assert segment.end_s == pytest.approx(start + utterance.seconds, abs=0.4)
    hiss = np.random.default_rng(0).standard_normal(80_000).astype(np.float32) * np.float32(0.03)
    assert segments(vad, Audio(hiss, 16_000)) == []


async def test_the_assistant_wakes_to_its_name_and_to_nothing_else(
    speaker: TextToSpeech, listener: SpeechToText
) -> None:
    """ "Hey Jarvis" wakes it in every voice, once; other sentences in no voice. The transcript says the same."""
    wake = opened_now(select.open_wake_word)
    names = NameMatcher(["Jarvis"])
    for voice in ENGLISH:
        call = concat([silence(0.5, 16_000), await spoken(speaker, "Hey Jarvis, what time is it?", voice)])
        wake.reset()
        hits = [
            wake.feed(Audio(call.samples[at : at + 1600], 16_000)) for at in range(0, len(call.samples), 1600)
        ]
        [hit] = [hit for hit in hits if hit]
        assert hit.phrase == "Hey Jarvis"
        assert 0.5 < hit.at_s < call.seconds
        for sentence in SENTENCES[:3]:
            talk = await spoken(speaker, sentence, voice)
            wake.reset()
            assert wake.feed(talk) is None
            assert names.match((await listener.transcribe(talk)).text) is None
    heard = await listener.transcribe(await spoken(speaker, "Hey Jarvis, what time is it?", "bf_emma"))
    addressed = names.match(heard.text)
    assert addressed is not None
    assert word_errors("what time is it", addressed.request) <= 1


def opened_now(opening: Callable[[], T]) -> T:
    try:
        return opening()
    except Unavailable as error:
        pytest.skip(f"{error}")


class Order(Struct):
    item: Literal["tea", "coffee", "water"]
    cups: int


async def test_the_language_model_answers(thinker: LanguageModel) -> None:
    """A plain fact is right, the tokens are counted, and the answer came in pieces."""
    ask = [Message("system", "You answer briefly."), Message("user", "What is the capital of France?")]
    answer = await complete(thinker, ask, ChatOptions(temperature=0, max_tokens=40))
    assert "Paris" in answer.text
    assert answer.finish == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 10
    assert answer.usage.completion_tokens > 3
    chunks = [chunk async for chunk in thinker.chat(ask, ChatOptions(temperature=0, max_tokens=40))]
    assert len([chunk for chunk in chunks if chunk.text]) > 3
    story = [Message("user", "Write a long story about the sea.")]
    short = await complete(thinker, story, ChatOptions(temperature=0, max_tokens=5))
    assert short.finish == "length"


async def test_an_answer_is_held_to_its_schema(thinker: LanguageModel) -> None:
    """Whatever it is asked, the answer is a value of the type."""
    order = await ask_for(
        thinker, [Message("user", "Extract the order: three cups of coffee, please.")], Order
    )
    assert order == Order("coffee", 3)
    stray = await ask_for(thinker, [Message("user", "Tell me a joke about bread.")], Order)
    assert stray.item in ("tea", "coffee", "water")


async def test_the_same_seed_gives_the_same_answer(thinker: LanguageModel) -> None:
    """Randomness is the caller's to fix."""
    options = ChatOptions(temperature=1.0, seed=7, max_tokens=30)
    ask = [Message("user", "Invent a name for a boat.")]
    assert (await complete(thinker, ask, options)).text == (await complete(thinker, ask, options)).text


async def test_a_conversation_beyond_the_context_is_a_typed_error(thinker: LanguageModel) -> None:
    """It is neither cut silently nor answered with nothing, and the next request works."""
    with pytest.raises(TooLarge):
        await complete(thinker, [Message("user", "word " * 3000)])
    assert (await complete(thinker, [Message("user", "Say hi.")], ChatOptions(temperature=0, max_tokens=5))).text


async def test_a_generation_that_is_closed_makes_room_for_the_next(thinker: LanguageModel) -> None:
    """Breaking off after two chunks stops a long answer; the model has one slot and serves the next request."""
    async with aclosing(
        thinker.chat([Message("user", "Count to one thousand in words.")], ChatOptions(max_tokens=900))
    ) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    async with asyncio.timeout(20):
        assert (await complete(thinker, [Message("user", "Say hi.")], ChatOptions(temperature=0, max_tokens=5))).text


async def test_paraphrases_are_nearest(embedder: Embedder) -> None:
    """Each question finds the note that answers it though they share hardly a word."""
    notes = [
        "The dentist appointment is on Friday at 9.",
        "I am allergic to peanuts.",
        "My sister Ana lives in Lisbon.",
        "The wifi password is on the fridge.",
        "Photosynthesis turns light into sugar.",
        "I like jazz music in the evening.",
    ]
    questions = [
        "when do I see the doctor for my teeth?",
        "what food should I avoid?",
        "where does my sibling live?",
        "how do I get on the internet?",
        "how do plants eat?",
        "which songs do I enjoy at night?",
    ]
    vectors = await embedder.embed(notes + questions)
    likeness = vectors[len(notes) :] @ vectors[: len(notes)].T
    assert likeness.argmax(axis=1).tolist() == list(range(len(notes)))
    assert vectors.shape == (12, embedder.dimensions)
    # The example of the sbert.net quickstart, computed there by the authors' own library.
    example = await embedder.embed(
        ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    )
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.abs(example @ example.T - published).max() < 1e-4
