"""Timers, alarms and reminders: set, list, cancel, and what is said when they ring."""

from __future__ import annotations

from msgspec import structs

from tandem.core import clock
from tandem.core.ids import new_id
from tandem_agents.core_services.alarm_desk import AlarmDesk
from tandem_agents.core_services.persons import yours
from tandem_agents.core_services.turn import Turn
from tandem_agents.infrastructure.contracts import Alarm, AlarmKind
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.contracts import Language, Reply, Slots, Value

MAX_ALARMS = 500
FARTHEST_S = 10 * 366 * 86_400.0
LATE_FROM_S = 30.0
NEAR_S = 60.0
_KINDS: dict[str, AlarmKind] = {"timer": "timer", "alarm": "alarm", "reminder": "reminder"}
_KINDS_FIL = {"timer": "timer", "alarm": "alarm", "reminder": "paalala"}


class TimerSkill:
    """Turns slots into alarms at the desk."""

    def __init__(self, desk: AlarmDesk):
        self._desk = desk

    async def set(self, turn: Turn) -> Reply:
        """Set one; asks back when no alarm can be made of what was said."""
        slots = turn.analysis.slots
        if slots.missing:
            return turn.say(f"ask_{slots.missing}")
        if slots.others:
            return await self._set_several(turn, [slots, *slots.others])
        now = clock.wall()
        due = now + slots.duration_s if slots.duration_s is not None else slots.at
        if due is None:
            return turn.say("ask_duration" if slots.kind == "timer" else "ask_moment")
        if due <= now:
            return turn.say("past")
        if due > now + FARTHEST_S:
            return turn.say("too_far")
        count = len(await self._desk.pending())
        if count >= MAX_ALARMS:
            return turn.say("too_many_alarms", count=count)
        alarm = _alarm(turn, slots, now, due)
        await self._desk.add(alarm)
        done = _confirmation(turn, alarm)
        if not slots.repeat:
            return done
        return turn.say(
            "set_once", done, kind=_KINDS_FIL[slots.kind] if turn.language == "fil" else slots.kind
        )

    async def _set_several(self, turn: Turn, wanted: list[Slots]) -> Reply:
        count = len(await self._desk.pending())
        if count + len(wanted) > MAX_ALARMS:
            return turn.say("too_many_alarms", count=count)
        now = clock.wall()
        alarms = [_alarm(turn, one, now, now + (one.duration_s or 0.0)) for one in wanted]
        for alarm in alarms:
            await self._desk.add(alarm)
        return turn.say("timers_set", *(_item(turn, alarm) for alarm in alarms), count=len(alarms))

    async def list(self, turn: Turn) -> Reply:
        slots = turn.analysis.slots
        found = _matching(await self._desk.pending(_KINDS[slots.kind]), Slots(label=slots.label))
        if slots.at is not None:
            day = local(slots.at).date()
            found = [alarm for alarm in found if local(alarm.due).date() == day]
        if not found:
            return _none(turn, slots)
        items = [_item(turn, alarm) for alarm in found]
        if len(items) == 1:
            return turn.say("alarms_one", *items)
        return turn.say("alarms_list", *items, count=len(found))

    async def extend(self, turn: Turn) -> Reply:
        """Give a timer more time: a new one that ends later takes its place, since an alarm only moves forwards."""
        slots = turn.analysis.slots
        wanted = Slots(label=slots.label, place_in_line=slots.place_in_line)
        found = _matching(await self._desk.pending("timer"), wanted)
        more = slots.duration_s or 0.0
        if not found:
            return _none(turn, slots)
        if len(found) > 1:
            return _ask_which(turn, "which_extend", found)
        if found[0].due + more > clock.wall() + FARTHEST_S:
            return turn.say("too_far")
        longer = structs.replace(
            found[0], id=new_id(), due=found[0].due + more, duration_s=found[0].duration_s + more
        )
        await self._desk.add(longer)
        if await self._desk.cancel(found[0].id) is None:
            # It rang in between: what was just added is then a new timer, and would ring too early.
            await self._desk.cancel(longer.id)
            return _none(turn, slots)
        return turn.say("timer_extended", _item(turn, longer), length_s=more)

    async def cancel(self, turn: Turn) -> Reply:
        """Cancel what was meant; asks back when that could be several."""
        slots = turn.analysis.slots
        found = _matching(await self._desk.pending(_KINDS[slots.kind]), slots)
        if not found:
            return _none(turn, slots)
        if len(found) > 1 and not slots.everything:
            return _ask_which(turn, "which_one", found)
        cancelled = [alarm for alarm in found if await self._desk.cancel(alarm.id) is not None]
        if not cancelled:
            return _none(turn, slots)
        phrase = "cancelled_one" if len(cancelled) == 1 else "cancelled_many"
        return turn.say(phrase, *(_item(turn, alarm) for alarm in cancelled), count=len(cancelled))


def ring_words(alarm: Alarm, late_s: float) -> Reply:
    """What is said when an alarm rings."""
    language: Language = "fil" if alarm.language == "fil" else "en"
    facts: dict[str, Value] = {"label": yours(alarm.label), "due_time": alarm.due}
    if alarm.kind == "timer" and not alarm.label and alarm.duration_s:
        said = Reply(phrase="timer_rang", facts={"length_s": alarm.duration_s}, language=language)
    elif alarm.kind == "reminder" or (alarm.kind == "timer" and not alarm.label):
        said = Reply(
            phrase="reminder_rang", facts={"label": yours(alarm.label) or "timer"}, language=language
        )
    else:
        said = Reply(
            phrase=f"{alarm.kind}_rang{'_named' if alarm.label else ''}", facts=facts, language=language
        )
    if late_s < LATE_FROM_S:
        return said
    return Reply(phrase="rang_late", facts={"late_s": late_s}, parts=[said], language=language)


def _alarm(turn: Turn, slots: Slots, now: float, due: float) -> Alarm:
    return Alarm(
        id=new_id(), kind=_KINDS[slots.kind], due=due, created=now, label=slots.label,
        duration_s=slots.duration_s or 0.0, session=turn.session, user=turn.user, language=turn.language,
    )  # fmt: skip


def _confirmation(turn: Turn, alarm: Alarm) -> Reply:
    if alarm.kind == "timer":
        if not alarm.duration_s:
            return turn.say("timer_set_at", due_at=alarm.due)
        phrase = "timer_set_named" if alarm.label else "timer_set"
        return turn.say(phrase, length_s=alarm.duration_s, label=alarm.label)
    phrase = "alarm_set_named" if alarm.kind == "alarm" and alarm.label else f"{alarm.kind}_set"
    return turn.say(phrase, due_at=alarm.due, label=yours(alarm.label))


def _item(turn: Turn, alarm: Alarm) -> Reply:
    phrase = f"{alarm.kind}_item" + ("_named" if alarm.kind != "reminder" and alarm.label else "")
    return turn.say(
        phrase, label=yours(alarm.label), due_at=alarm.due, left_s=max(0.0, alarm.due - clock.wall())
    )


def _ask_which(turn: Turn, phrase: str, found: list[Alarm]) -> Reply:
    """Ask back; the next sentence may say which."""
    asked = structs.replace(turn.analysis.slots, missing="choice")
    turn.analysis = structs.replace(turn.analysis, slots=asked)
    return turn.say(phrase, *(_item(turn, alarm) for alarm in found), count=len(found))


def _none(turn: Turn, slots: Slots) -> Reply:
    kind = _KINDS_FIL[slots.kind] if turn.language == "fil" else slots.kind
    if slots.at is not None and turn.intent == "list_timers":
        return turn.say("alarms_none_that_day", kind=kind)
    return turn.say("alarms_none_named" if slots.label else "alarms_none", kind=kind, label=slots.label)


def _matching(alarms: list[Alarm], slots: Slots) -> list[Alarm]:
    """Those of that label, length or time, all when none is said; of these only the one at the place said."""
    found = _alike(alarms, slots)
    if not slots.place_in_line:
        return found
    place = slots.place_in_line - (slots.place_in_line > 0)
    return found[place:][:1]


def _alike(alarms: list[Alarm], slots: Slots) -> list[Alarm]:
    if slots.label:
        wanted = slots.label.lower()
        exact = [alarm for alarm in alarms if alarm.label.lower() == wanted]
        return exact or [alarm for alarm in alarms if wanted in alarm.label.lower()]
    if slots.duration_s is not None:
        return [alarm for alarm in alarms if alarm.duration_s == slots.duration_s]
    if slots.at is not None:
        return [alarm for alarm in alarms if _same_clock_time(alarm.due, slots.at)]
    return alarms


def _same_clock_time(due: float, said: float) -> bool:
    """``the 7 o'clock alarm`` is meant whichever day, and whichever half of it, it is set for."""
    return abs((due - said + NEAR_S / 2) % 43_200 - NEAR_S / 2) < NEAR_S
