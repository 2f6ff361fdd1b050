"""Abbreviations and ordinals: full stops that end no sentence."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GOES_ON = _words(
    "mr mrs ms mx dr prof st gen col maj capt lt sgt rev hon pres gov sen rep messrs mme mlle hr fr dres "
    "e.g i.e eg ie cf vs viz approx incl excl esp resp "
    "z.b z.t z.zt d.h bzw vgl v.a o.g u.u m.e i.s.v evtl ggf inkl exkl zzgl abzgl sog insb insbes bspw dipl "
    "p.ej p.ex p.es c.-à-d sra srta dña dott sig"
)
"""Abbreviations (without the last stop, in small letters) after which a sentence goes on, whatever follows."""
_GOES_ON_WITH_A_NUMBER = _words(
    "no nos nr fig figs tab vol vols p pp pg ch chap sec sect art eq eqs ex ref refs c ca v ver par para s "
    "abs ziff rn bd kap aufl lit str núm pág págs"
)
"""Abbreviations when a digit follows, ordinary words otherwise (“No.”)."""
_MAY_END = _words(
    "inc ltd co corp bros jr sr al dept univ est ave blvd rd mt ft oz lb hrs min max gmbh "
    "ca usw u.a o.ä u.ä s.o s.u i.d.r i.a i.v a.a.o n.chr v.chr ad.es"
)
"""Abbreviations that end a sentence only when a usual first word follows; acronyms and initials do the same."""
_ABBREVIATIONS = _GOES_ON | _MAY_END
_KNOWN = _ABBREVIATIONS | _GOES_ON_WITH_A_NUMBER | {each.rpartition(".")[2] for each in _ABBREVIATIONS}
_BEGINNINGS = frozenset(
    ".".join(parts[:n]) for parts in (each.split(".") for each in _ABBREVIATIONS) for n in range(2, len(parts) + 1)
)
"""The abbreviations of several words, which may stand apart (“i. d. R.”), and how they begin."""
_MOST_PARTS = 3
_FIRST_WORDS = _words(
    "a after all although an and as at because before both but by during each every finally for from he her here his "
    "how however if in instead it its many most my no not on once one or other our she since so some such that the "
    "their then there therefore these they this those though thus to under unlike until we what when where which while "
    "who why with you your der die das ein eine es er sie wir im am le la les un une il elle"
)
_GERMAN_FIRST_WORDS = _words(
    "der die das den dem des ein eine einen einem einer er sie es wir ich du ihr man ihre ihren sein seine unser "
    "unsere mein meine dein deine kein keine dies diese dieser dieses alle jeder jede jedes ab als am an auf aus "
    "bei beim  bis durch für gegen im in mit nach ohne seit um unter über vom von vor während wegen zu zum zur aber "
    "allerdings auch  außerdem bevor bitte da dabei daher damit danach dann darum dazu denn deshalb doch dort falls "
    "heute hier hierzu  jedoch jetzt nachdem nicht noch nun nur ob obwohl oder sobald somit sonst trotzdem und wann "
    "warum was weil wenn  wer wie wo zudem zwar"
)
"""Words behind an ordinal with which the next sentence begins: “Er kam am 3. Danach …”"""
_GERMAN_ORDINAL_OF = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "lebensjahr lebensjahrs lebensjahres stock stockwerk stockwerks obergeschoss untergeschoss etage jahrhundert "
    "jahrhunderts jahrtausend klasse auflage quartal halbjahr geburtstag werktag spieltag weltkrieg bundesliga"
)
"""What is counted by ordinals, whatever stands before them (“ab 3. Oktober”)."""
_INFLECTED = (
    "der die das den dem des am im vom beim zum zur ins ans ein(?:e[mnrs]?)? "
    "(?:k|m|d|s)ein(?:e[mnrs]?)? ihr(?:e[mnrs]?)? unser(?:e[mnrs]?)? (?:jed|jen|dies|welch)e[mnrs]?"
)
_GERMAN_ORDINAL = re.compile(
    rf"(?:(?<!\w)(?<!\bI )(?:{'|'.join(_INFLECTED.split())})\s+|\d\.\s+(?:und|oder|bis|sowie)\s+|\d\.\s?[-–]\s?)"
    r"[(„]?(?:\d{1,3}|(?-i:[IVX]{1,5}))\Z",
    re.IGNORECASE,
)
"""An ordinal behind a word that is inflected for it, or behind another ordinal: “vom 3.”, “1. bis 3.”"""
_SHORT_NUMBER = re.compile(r"(?:.*\W)?(?:\d{1,3}|[IVX]{1,5})")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_OPENERS = "([{\"'“‘«„*_`"


def may_go_on_after(before: str) -> bool:
    """Whether it takes the next word to tell if the full stop behind `before`, a sentence up to here, ends it."""
    last = (_last_parts(before) or [""])[-1]
    return last.lower() in _KNOWN or any(each.fullmatch(last) for each in (_ACRONYM, _SHORT_NUMBER))


def goes_on_after(before: str, word: str, *, digit: bool, stop: bool) -> bool:
    """Whether the full stop behind `before` only shortens a word or makes a number an ordinal, and ends nothing.

    `word` is the next one, empty where something else follows; `digit`: whether that is one; `stop`: whether a full
    stop follows the word without a space. What follows starts with no small letter.
    """
    parts = _last_parts(before)
    first, last = word.lower(), parts[-1]
    begun = [_joined(parts[-n:]) for n in range(1, len(parts) + 1)]
    if stop and any(f"{each}.{first}" in _BEGINNINGS for each in begun):
        return True  # “z.” of “z. B.”
    if not _GOES_ON.isdisjoint(begun):
        return True
    if last.lower() in _GOES_ON_WITH_A_NUMBER and digit:
        return True
    if last.isdecimal() and len(last) <= 2 and first in _GERMAN_ORDINAL_OF:
        return True
    if word[:1].isupper() and _GERMAN_ORDINAL.search(before):
        return first not in _GERMAN_FIRST_WORDS
    if not _MAY_END.isdisjoint(begun):
        return stop or not word[:1].isupper() or first not in _FIRST_WORDS | _GERMAN_FIRST_WORDS
    if _ACRONYM.fullmatch(last) and (len(last) > 1 or last.isupper()):
        return stop or not word[:1].isupper() or first not in _FIRST_WORDS
    return False


def _last_parts(text: str) -> list[str]:
    return [part.lstrip(_OPENERS) for part in text.rsplit(None, _MOST_PARTS)[-_MOST_PARTS:]]


def _joined(parts: list[str]) -> str:
    """The parts of an abbreviation in one, in small letters, where each but the last has its stop."""
    if all(part.endswith(".") for part in parts[:-1]):
        return "".join(parts).lower()
    return ""
