"""Find the options that a sentence denies, doubts or only quotes: data, and a few substitutions.

A sentence is in lower case, with marks for its options (`marks.py`). Denied options get marks of their own, and the
words that deny them are replaced by "~". Standard library only; every repetition is bounded.
"""

from __future__ import annotations

import re

from lmms_eval_shotbench.grading.marks import LETTERS, MARK, denied_in, denied_mark, has_mark, marks_in, words

# Phrases that contain a negation and affirm.
_SURE = re.compile(
    r"\b"
    + words(
        r"""(?:there is )?(?:no|without(?: a| any)?|beyond(?: a| any)?) (?:reasonable )?(?:doubt
            |question)\b(?:,? that)? |
        not only | nothing but | no(?:ne)? other than | undoubtedly | doubtless | can(?:not|'t) be anything (?:but
        |other than)"""
    )
    + r"\b"
)
# "I cannot see how it could be anything but B", "no option except B": the option that remains.
_REMAINS = re.compile(
    rf"\b(?:(?:no|not|cannot|never|hardly|unable|impossible|hard|difficult)\b|\w+n't\b)(?:\s[\w']+){{0,9}}?"
    r"\s(?:anything|any|any (?:other )?(?:option|answer|choice|letter|reading))(?: else| other)?"
    r"\s(?:but|than|other than|besides|except(?: for)?|apart from)\b"
    r"|\b(?:no|nothing)(?: other| else)?(?:\s(?:option|answer|choice|letter|reading|alternative|fits|works|matches"
    r"|remains|is|left|will|would|do|here|to)){1,3}\s(?:but|than|other than|besides|except(?: for)?|apart from)\b"
    rf"(?=(?:[\s\"'(]|\b(?:a|an|the|option|letter|answer|choice|with|to|for|choose|pick|say)\b){{0,8}}{MARK})"
)
_OTHER_THAN = re.compile(r" (?:but|than|besides|except|apart) ")  # only an optimisation
_SHORT_IS = re.compile(r"\b(it|that|this|there|here)'s\b")
_FORMER = re.compile(r"\bthe (former|latter)\b")
# Options between which the sentence goes on to choose.
_CONSIDERED = re.compile(
    rf"\b(?:between|out of)(?:\s(?:the|a|an|option|options|either))?\s{MARK}(?:\s?,\s?{MARK}){{0,8}}\s?,?\s?(?:and"
    rf"|or)\s"
    rf"(?:(?:a|an|the|option)\s)?{MARK}"
)

_NEGATION = words(
    r"""\b(?:not|never|nor|neither|without|except|excluding|than|unlike|least|worst|forget|skip|versus|vs|against
        |cannot|over)\b |
    \bno\b(?!\s?[:,.!]) | n't\b | \bfar from\b | \bsecond[- ]best\b | \brunner[- ]up\b | \bignor\w+ | \b(?:any
    |every)thing but\b |
    \ball but\b | \b(?:instead|as opposed) (?:of|to)\b | \brul(?:e|es|ed|ing) out\b |
    \b(?:eliminat|exclud|reject|discard|avoid|dismiss|doubt)\w* | \b(?:wrong|incorrect|unlikely|hardly|impossible)\b |
    \btoo \w+ (?:for|to be)\b"""
)
# Words between a negation and the option that it denies: "I don't think that the answer is B".
_BETWEEN = words(
    r"""[\s"'(\[:] |
    \b(?:be|is|it|it's|that|the|answer|a|an|option|options|choice|letter|quite|really|just|correct|right|best|to
    |choose|select|pick
    |go|with|say|think|believe|would|in|fact|was|this|shot|as|necessarily|simply|look|looks|like|seem|seems|either
    |for|sure|if|called
    |considered|classified|opt|both|other|way|likely|plausible|convinced|certain|confident)\b"""
)
_MORE = rf"(?:(?:\s?,\s?{MARK}){{0,8}}\s?,?\s?(?:or|nor|and|/)\s?(?:(?:the|a|an|option)\s)?{MARK}){{0,4}}"
_DENIAL = re.compile(
    rf"{_NEGATION}{_BETWEEN}{{1,12}}{MARK}{_MORE}"
    rf"|\bprefer\b[^.;]{{0,20}}{MARK}\s(?P<lesser>(?:to|over)\s(?:the\s)?{MARK})"
    rf"|\b(?:most likely|probably|primarily)\b[^.;]{{0,20}}?{MARK}[^.;,]{{0,20}},\s"
    rf"(?P<possible>(?:possibly|maybe|perhaps|less likely)\s{MARK})"
)

_HEAD = words(
    "shot | lens | light | angle | view | framing | composition | option | choice | answer | letter | type | one"
)
_ADVERBS = r"(?:(?:\w+ly|far|much|also|both|all|just|thus|be|a|the|bit|(?:tempting|plausible|close),? but)\s){0,4}"
_BAD = words(
    r"""not | less | too | wrong | a trap | a distractor | incorrect | false | out | ruled out | eliminated |
        excluded | unlikely | discarded | dismissed | rejected | discounted | disregarded | dropped | removed |
        ignored |
        set aside | (?:crossed|struck|thrown|taken|left) (?:out|off|away|aside) |
    impossible | implausible | inaccurate | off | inappropriate | unsuitable"""
)
# Verbs before these words: "is too tight", "can be discarded", "gets eliminated".
_BE = (
    r"(?:(?:can|could|may|must|should|would|might|will)(?:\s\w+ly|\snow|\sboth|\sall)?\s(?:be|get)"
    r"|(?:has|have)\s(?:been|got))"
)
_SINGULAR = rf"(?:is|was|are|seems?|looks?|appears?|feels?|gets|got|{_BE})"
_PLURAL = rf"(?:are|were|seem|look|appear|get|got|{_BE})"
_NEGATIVE_VERB = words(
    r"isn't | wasn't | doesn't | can't | cannot | couldn't | shouldn't | won't | (?:would|does|can|could|should) not"
)
_REJECTED = re.compile(
    # "A and C are too tight"
    rf"(?>{MARK}(?:\s?(?:,\s?(?:and\s)?|and\s|or\s|/|&)\s?{MARK}){{1,8}})(?:\s{_HEAD}){{0,3}}\s"
    rf"(?:(?:{_PLURAL}|can|do)\s{_ADVERBS}{_BAD}\b|(?:fall|drop) (?:away|out)\b"
    r"|(?:aren't|don't|weren't|can't|cannot)\b)"
    # "C is too tight", "(A), but it is incorrect", "C: no"
    rf"|{MARK}\s?(?:\([^()]{{0,40}}\)\s?)?(?:{_HEAD}\s?){{0,3}}[)\"']?\s?(?:,?\s?(?:which|but (?:it|this|that)|it"
    rf"|that)\s)?"
    rf"(?:\s?{_SINGULAR}\s{_ADVERBS}{_BAD}\b|\s?{_NEGATIVE_VERB}\b|\s(?:falls|drops) (?:away|out)\b"
    r"|\s?[:|-]?\s?(?:too|wrong|incorrect|no)\b(?!,)|\s?\(is wrong\))"
)


def mark_denials(sentence: str) -> str:
    """The sentence with its denied options as denied marks."""
    sentence = _SURE.sub(" surely ", _SHORT_IS.sub(r"\1 is", sentence))
    if not has_mark(sentence):
        return sentence
    if _OTHER_THAN.search(sentence):
        sentence = _REMAINS.sub(" the answer is ", sentence)
    sentence = _CONSIDERED.sub(" them", _FORMER.sub(_former_or_latter, sentence))
    sentence = _REJECTED.sub(_denied, _DENIAL.sub(_denied, sentence))
    return _without_concession(sentence)


# "although a crew would add an HMI (D)"; what a person chooses or considers in such a clause counts.
_CONCESSION = re.compile(
    r"\b(?:although|though|even though|even if|albeit|whereas|despite|granted)\b"
    r"(?!\s(?:(?:if\s)?(?:i|we)\b|i'd\b|i'm\b|my\b))[^.,;:!?]{0,160}"
)
_CONSIDERS = re.compile(
    r"\b(?:answer|choice|choose|pick|i|i'd|we|possibl[ey]|plausible|defensible|maybe|perhaps|also|as well|equally)\b"
    r"|\b(?:it|this|that|one|shot)\s(?:could|might|may|can|would)\b"
)


def _without_concession(sentence: str) -> str:
    """The sentence without the options that only a concessive clause names."""
    if not _CONCESSION.search(sentence):
        return sentence
    rest = _CONCESSION.sub(lambda match: match[0] if _CONSIDERS.search(match[0]) else _unmarked(match[0]), sentence)
    return rest if has_mark(rest) else sentence


_ANY_MARK = re.compile(MARK)


def _unmarked(text: str) -> str:
    return _ANY_MARK.sub(" ", text)


def _former_or_latter(match: re.Match[str]) -> str:
    """The mark that "the former" or "the latter" stands for: of the last two different ones before it."""
    before = list(dict.fromkeys(marks_in(match.string[max(0, match.start() - 200) : match.start()])))
    return before[-2 if match[1] == "former" else -1] if len(before) >= 2 else match[0]


def _denied(match: re.Match[str]) -> str:
    """The text of a denial with its options denied, and "~" for the words that deny them."""
    groups = match.groupdict()
    if part := groups.get("lesser") or groups.get("possible"):  # only the second option is denied
        return match[0].replace(part, "".join(map(denied_mark, marks_in(part))))
    return " ".join(["~", denied_in(match[0]), *map(denied_mark, marks_in(match[0]))])


# Words that make a mere mention no answer: "forget B", "whoever says B", "B is tempting".
_DISTANCED = re.compile(
    words(
        r"""\b(?:not|no|never|none|nothing|cannot|whoever|anyone|those|some|people|others?|nobody|few|if|whether
            |unless|could|might
        |may|would|hard|difficult|tempting|less|least|wrong|incorrect|unlikely|forget|ignore|skip|avoid|neither|nor
        |hardly|barely
        |either|similar|example|instance|e\.g|describe|explain|unsure|uncertain|depends?|unclear)\b |
        \b(?:eliminat|exclud|reject|discard|dismiss|disput|question|doubt|compar|labell?ed)\w* | \brul\w+ out\b |
        \b(?:going|about) to\b |
        n't\b | \?"""
    )
)
# A negation anywhere before an option: "no sign of the camera tilting, panning or zooming".
_NEGATED = re.compile(
    r"(?:\b(?:no|not|without|never|none|neither|nor)\b|n't\b)"
    r"(?:(?!\b(?:but|however|so|hence|thus|therefore|suggest\w*|indicat\w+|rather|instead|it is"
    r"|this is)\b)[^.;]){0,160}?" + MARK
)
_AT_EDGE = re.compile(
    rf"(?:^|[.,;:!?]\s)(?:[^\w.,;:!?]|\boption\b){{0,5}}?{LETTERS}|{LETTERS}[)\]\"'\s]{{0,4}}(?:$|[.,;:!?}}~-])"
)


def is_distanced(sentence: str) -> bool:
    """Whether a sentence that only mentions an option may deny, doubt or quote it."""
    if _NEGATED.search(sentence):
        return True
    return any(has_mark(clause) and _DISTANCED.search(clause) for clause in re.split(r"[,;:]\s", sentence))


def at_an_edge(sentence: str) -> bool:
    """Whether a letter opens or closes a clause of a sentence, as an answer does: not "the letter B on the sign"."""
    return _AT_EDGE.search(sentence) is not None
