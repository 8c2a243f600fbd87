"""Friendly small talk."""

from __future__ import annotations

import re
from collections import deque

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core import clock
from tandem_agents.core_services.model_contracts import Models
from tandem_agents.engines.kinds import ChatOptions
from tandem_agents.language_processing.calendar_words import local, part_of_day
from tandem_agents.language_processing.contracts import Intent, Language, Reply
from tandem_agents.language_processing.phrasebook import render
from tandem_agents.language_processing.prompts import (
    FEELING_OPTIONS,
    conversation,
    feeling_of,
    system_prompt,
)
from tandem_agents.memory_system.contracts import Interaction

KEPT_TURNS = 12
BAD_FROM, GOOD_FROM = 0.4, 0.9
"""Certainty (0..1) from which the model is believed that something told is bad, or good, for who tells it. It takes deaths
for good news at 0.74 and misses hardly any bad one, so it must be surer of the good ones."""
_SAD = re.compile(
    r"\b(?:died|dead|dying|passed away|death|funeral|cancer|tumou?r|accident|crashed|divorced?|broke up|miscarriage|stolen|robbed"
    r"|got fired|lost my job|in (?:the )?hospital|hurts?|in pain|namatay|patay)\b",
    re.IGNORECASE,
)
_OWN = re.compile(r"^(?:i|we|my|our|i'm|i've|we're|we've)\b", re.IGNORECASE)
_COURTESIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), phrase)
    for pattern, phrase in (
        (r"^how do you work$", "how_i_work"),
        (r"\blanguages\b.*\byou\b|^(?:(?:do|can) you )?(?:speak|understand|know) \w+$", "languages"),
        (r"^(?:merry|happy) |^maligayang|^congrat|^bless you", "wished"),
        (r"^(?:(?:i am|i'm) )?(?:so |very |really )?sorry\b|^my (?:bad|mistake|apolog)|\bapologi[sz]e\b|^excuse me|^pasensya", "no_problem"),
        (r"^(?:(?:will|would) you )?(?:marry|date|kiss|hug) me\b", "no_feelings"),
        (r"\byour (?:boss|owner|master)\b", "my_boss"), (r"\byour (?:creator|maker|developer)\b", "made_by"),
        (r"^(?:that is|that's|that was|this is|you are|you're|you were)\b.*\b(?:wrong|not right|not true|not correct|incorrect|nonsense|not what)\b"
         r"|^you (?:did not|didn't|do not|don't) (?:understand|get|hear|listen)|^you (?:misunderstood|got|made a mistake)", "scolded"),
        (r"\bgood ?night\b|\b(?:going|off) to (?:go to )?(?:bed|sleep)\b", "good_night"),
        (r"^(?:i am|i'm) (?:home|back)\b", "welcome_back"),
        (r"^(?:i am|i'm) (?:leaving|off|going|heading)\b", "see_you"),
        (r"^what version", "what_model"), (r"^(?:is everything|are things|is all)\b", "everything"),
        (r"^(?:say something|talk to me|let us talk|let's talk|chat with me)", "talk_to_me"),
        (r"^hear me|^wake up", "hearing"), (r"^(?:you are|you're) welcome", "acknowledged"),
        (r"^(?:maybe|perhaps|i (?:do not|don't) know|(?:i am |i'm )?not sure|whatever|hmm?|never|always|no idea)$", "acknowledged"),
        (r"\bhow are (?:you|things)|\bhow is it going|\bkumusta|\bkamusta", "how_are_you"),
        (r"\b(?:test|testing|sound check|microphone check)\b", "test_heard"),
        (r"\bmodel (?:are you|do you|is this)|\bare you (?:chatgpt|gpt|siri|alexa|google|gemini|claude|qwen|cortana|an llm|a language model|a chatbot)", "what_model"),
        (r"\bare you (?:a robot|a program|a machine|human|a human|a person|real|alive|an ai)|\bwhat are you made of|^what are you$", "what_am_i"),
        (r"\bwho are you|\byour name|\bshould i call you|\bsino ka|\bpangalan mo", "who_are_you"),
        (r"\bwho (?:made|created|built|wrote|programmed|invented|designed) you", "made_by"),
        (r"\bhow old are you|\bwhen were you", "no_age"),
        (r"\bwhere (?:are|do) you", "my_place"),
        (r"\bare you (?:there|listening|awake|ok|okay|sure)|\bcan you hear me", "hearing"),
        (r"\bdo you (?:like|love|hate|want|enjoy|feel|have|sleep|eat|dream)|\bwhat do you like|\byour favou?rite"
         r"|\bare you (?:happy|sad|tired|busy|smart)|\bi (?:love|like|miss) you", "no_feelings"),
        (r"\b(?:you are|you're) (?:great|nice|funny|cool|smart|awesome|amazing|the best|right|welcome)|\bgood job|\bwell done"
         r"|\bnice one|\bmagaling", "praised"),
        (r"\b(?:you are|you're) (?:stupid|useless|wrong)|\bi hate you", "scolded"),
        (r"\b(?:i am|i'm|i feel)\b.*\b(?:not|sad|tired|lonely|sick|stressed|angry|hungry)\b", "sympathy"),
        (r"\b(?:i am|i'm|i feel)\b.*\bbored\b", "bored"),
        (r"\b(?:i am|i'm|i feel)\b.*\b(?:happy|fine|good|ok|okay|great|well)\b", "glad"),
        (r"\bnice to meet you", "met"),
        (r"^(?:yes|no|ok|okay|sure|yeah|yep|nope|oo|hindi|lol|haha|ha ha|wow|great|cool|nice|awesome|good|perfect|fine|right|true|indeed|really"
         r"|exactly|of course|got it|i see|i understand|makes sense|fair enough|cool story|good to know|good idea|sounds good"
         r"|wait|hold on|(?:one|just a|wait a) (?:moment|second|minute))(?: (?:thanks|thank you|please))?$", "acknowledged"),
    )
)  # fmt: skip


class ChitchatAgent(Agent):
    """Answers greetings and courtesies itself, and chats about anything else with the language model and the user's history."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        name: str = "Tandem"
        persona: str = "You are warm, brief and a little playful."

    settings: Settings

    async def start(self) -> None:
        self._history: dict[str, deque[Interaction]] = {}

    @action
    async def chitchat(
        self, text: str, user: str = "you", language: Language = "en", intent: Intent = "small_talk"
    ) -> str:
        """A friendly reply."""
        reply = self._courtesy(text, language, intent)
        if reply is None:
            reply = await (
                self._take_in(text, language) if intent == "statement" else self._chat(text, user, language)
            )
        self._history.setdefault(user, deque(maxlen=KEPT_TURNS)).append(Interaction(said=text, answer=reply))
        return reply

    @action
    async def clear_history(self, user: str) -> int:
        """Forget this user's small talk."""
        return len(self._history.pop(user, ()))

    def _courtesy(self, text: str, language: Language, intent: Intent) -> str | None:
        now = local(clock.wall())
        phrase = next((phrase for pattern, phrase in _COURTESIES if pattern.search(text)), "")
        if not phrase and intent in ("greeting", "thanks", "goodbye"):
            phrase = intent
        if not phrase:
            return None
        facts = {"part": part_of_day(now), "name": self.settings.name}
        return render(Reply(phrase=phrase, facts=dict(facts), language=language), now)

    async def _take_in(self, text: str, language: Language) -> str:
        """A fitting word on something told: nobody is congratulated by mistake, rather it is only said to be heard."""
        phrase = "sympathy" if _SAD.search(text) else "heard"
        if phrase == "heard" and language == "en":
            judged = await self.peer(Models).generate_text(feeling_of(text), FEELING_OPTIONS)
            verdict, sure = judged.text.strip().lower(), judged.certainty or 0.0
            if verdict.startswith("bad") and sure >= BAD_FROM:
                phrase = "sympathy"
            elif verdict.startswith("good") and sure >= GOOD_FROM and _OWN.match(text):
                phrase = "glad"
        return render(Reply(phrase=phrase, language=language), local(clock.wall()))

    async def _chat(self, text: str, user: str, language: Language) -> str:
        system = system_prompt(self.settings.name, local(clock.wall()), language, "chat", text)
        messages = conversation(f"{system}\n{self.settings.persona}", list(self._history.get(user, ())), text)
        completion = await self.peer(Models).generate_text(
            messages, ChatOptions(max_tokens=120, temperature=0.8)
        )
        return completion.text.strip()
