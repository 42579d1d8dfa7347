"""What a marked sentence claims: declared, denied, withdrawn or only mentioned options.

The sentences are those of `plain_text.py`, in lower case, with a mark for every option that they name (`terms.py`,
`letters.py`), so that a rule is a pattern over English words and marks. Every repetition is over distinct tokens, so
that time is linear.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from lmms_eval_shotbench.grading.terms import (
    CONFLICT,
    DENIED,
    DENIED_MARK,
    LETTER_MARK,
    LETTERS,
    MARK,
    OFF,
    TEXT_MARK,
    TEXTS,
)


class Claim(NamedTuple):
    """A declaration of options within a sentence, in marks; none: what was declared before is withdrawn."""

    start: int
    end: int
    marks: str
    rule: str


# Nouns that name the answer.
_NOUN = (
    r"(?:answers?|option|choice|solution|selection|prediction|verdict|result|conclusion|guess|pick|letter|response"
    r"|label|decision|judge?ment|classification)"
)
_HEAD = r"(?:shot|lens|light|angle|view|framing|composition|option|choice|answer|letter|type|one)"
# Words between a declaring phrase and the option: "the answer is *most likely option* B".
_FILL = (
    rf"(?:[\s:\"'(\[=>,~-]|{DENIED}|\b(?:but|the|a|an|is|it|it's|this|that|to|be|of course|as|follows|option|choice|letter|answer|number|best|correct|right"
    r"|final|most|more|likely|described|shown|here|clear|classic|typical|standard|simple|obvious|just|simply|still|actually|indeed|now"
    r"|in my (?:opinion|view)|i (?:think|believe|guess)|(?:first|second|third|fourth|last) (?:option|one|choice)|therefore|thus|so|then|surely"
    r"|(?!unlikely\b)\w{2,20}ly)\b){0,24}+"
)
_SEPARATOR = (
    r"(?:[\s,;/&|+()\[\]\"'-]|\b(?:or|and|also|possibly|maybe|perhaps|probably|even|either|both|alternatively|option|choice|letter|the"
    rf"|a|an|as well as|{_HEAD})\b){{0,12}}+"
)
_VERB_AFTER = r"(?!\s?(?:is|are|being|was|would|shows?|has|have)\b)"
_LIST = rf"(?P<list>(?>(?:\b(?:either|both)\s)?{MARK}(?:{_SEPARATOR}{MARK}{_VERB_AFTER}){{0,9}}))"
_IS = (
    r"(?:\b(?:is|are|was|would be|should be|must be|has to be|can only be|will be|seems to be|appears to be|remains|becomes|be|falls on|goes to)\b"
    r"|'s\b|[:=]|->|\s-+\s)"
)
_BETWEEN = r"(?:\s(?!(?:is|are|was|not|cannot|isn't|can't|one|between|among|might|may|could|can)\b)[\w'-]+|\s?\([^()]{0,40}\)){0,8}?"
_DIMENSION = (
    r"(?:shot (?:size|type)|framing|camera angle|angle|lens|focal length|lighting|light source|composition|camera (?:movement|motion)"
    r"|movement|type of \w+)"
)
_FIRST_PERSON = r"(?:i|we|i'd|we'd|i'll|i'm)"
_CHOOSE = (
    r"\b(?:choose|select|pick|chose|selected|picked|choosing|selecting|picking|go(?:ing)? (?:with|for)|went with|opt(?:ing)? for"
    r"|settl(?:e|ing) (?:on|for)|stick(?:ing)? with|vote for|lean(?:ing)? (?:towards?|to)|bet on|prefer|favou?r|commit(?:ting)? to|decid(?:e|ed|ing) (?:on|for)|take)\b"
)
_SUBJECT = (
    r"(?:[\s,:\"'(\[-]|\b(?:this|it|that|the|we|i|i'd|say|have|has|can|shot|image|frame|camera|lens|lighting|light|clip|scene|movement|framing"
    r"|angle|composition|size|type|be|is|are|was|must|should|would|it's|used|only|left|with|see|conclude|called|considered|seems|appears"
    r"|being|to|of|in|here|movie|film|option|choice|answer|letter|a|an|correct|best|right|most|likely|final|clearly|probably|definitely)\b){0,24}+"
)
_CONCLUDE = (
    r"(?:(?:^|[.,;:-]\s?|\band\s|\bbut\s)(?:so|thus|therefore|hence|consequently|accordingly|overall|ultimately|in (?:conclusion|summary|short|sum)"
    r"|to conclude|to sum up|altogether|finally|all in all|as such|which means|this means|that leaves|leaving|this leaves|making))\b"
)
_CORRECT = (
    r"\b(?:wait|no(?=\s?[,.!:;-])|nope|hmm|actually|correction|corrected(?: answer)?|sorry|oops|scratch that|on second thoughts?|on reflection|i mean|i meant|rather|instead"
    r"|revised(?: answer)?|updated(?: answer)?|edit|chang(?:e|ing|ed) (?:it|this|that|my (?:mind|answer)) to|switch(?:ing|ed)? (?:it |my answer )?to|revis(?:e|ing) (?:it |my answer )?to|make that|it should be)\b"
)
_ENDS = r"(?=\s?(?:[.,;:!?)\]\"'-]|$|because\b|since\b|as\b|not\b|instead\b|it is\b|then\b))"

_RIGHT = (
    r"(?:(?:the|a|an|also|clearly|definitely|probably|most likely|indeed|therefore|thus|by far)\s){0,4}"
    r"(?:(?:correct|right|best|(?:most|more) (?:likely|appropriate|accurate|suitable|fitting|plausible)|final|closest|better|only)\b"
    rf"(?:\s(?:{_NOUN}|fit|match|description|one|here|of (?:these|the four|all))\b)*(?=\s?(?:[.,;:!)\"'-]|$|because|since|as\b|here|for this|given|than))|(?:my|the) answer\b)"
)
_DECLARED = re.compile(
    rf"(?:"
    rf"\b{_NOUN}\b{_BETWEEN}\s?{_IS}{_FILL}"
    rf"|\b(?:answer|prediction|verdict|solution)\s[(\[\"']{{0,2}}(?={LETTERS})"
    rf"|\b(?:(?:most|more)\s\w+|best|closest|nearest|correct|right)\s(?!\w+ly\b)\w+{_BETWEEN}\s?{_IS}{_FILL}"
    rf"|(?P<choose>{_CHOOSE}){_FILL}"
    rf"|\b{_FIRST_PERSON}(?:\s(?:would|will|can|'d))?\s(?:say|answer|conclude|guess)\b(?:\sthat\b)?{_FILL}"
    rf"|\b(?:it|this|that|which)(?:'s|\s(?:is|must be|has to be|would be|should be))\b{_FILL}(?={LETTERS}|{CONFLICT})"
    rf"|{_CONCLUDE}{_SUBJECT}"
    rf"|\b(?:best|closely|most|accurately|perfectly|exactly)\s(?:match\w*|describ\w+|fits?|correspond\w*|align\w*)\b(?:\s(?:to|with|by|as))?{_FILL}"
    rf"|^(?:[^\s:]{{1,30}}\s){{2,60}}[^\s:]{{0,30}}:\s?[(\[\"']{{0,2}}(?={LETTERS}[)\]\"']{{0,2}}\W{{0,3}}$)"
    rf"|\b(?:classified|categori[sz]ed|identified|described) as\b{_FILL}"
    rf"|\b{_DIMENSION}\b(?:\s(?!(?:is|not)\b)[\w'-]+){{0,6}}?\s?(?:\b(?:is|would be|appears to be|seems to be|can be described as)\b|:){_FILL}"
    rf"){_LIST}(?!\s?(?:\?|if\b|would\b|could\b|might\b|,?\s?or\s(?!answer)\w))",
)
_IS_RIGHT = re.compile(
    rf"{_LIST}\s?[)\"',]?(?:\s{_HEAD})*\s?(?:(?:\b(?:is|are|'s|seems|looks|would be|must be|remains)\b\s{_RIGHT})"
    r"|\b(?:fits|matches|describes|suits)\b(?:\s\w+){0,3}?\s(?:best|well|better|perfectly|most closely|exactly)\b"
    r"|\bbest\s(?:fits|matches|describes|suits|corresponds)\b"
    r"|\bis my (?:choice|answer|pick)\b|\bwins\b|(?P<tick>\(is correct\))|[-:|]\s?(?:yes|correct|right)\b|,?\s(?:it is|then)\s?[.!]?$)"
)
_CORRECTED = re.compile(rf"(?:{_CORRECT}|{DENIED}\W{{0,3}}(?:but\s)?(?:it is|it's)\b)(?:[\s,.:!>-]|{_CORRECT}|\b(?:the|answer|is|it|option|should|be|say|i'd|a|an)\b){{0,12}}{_LIST}{_ENDS}")
_WITHDRAWN = re.compile(
    r"\b(?:scratch that|that(?:'s| is| was| seems| looks) (?:wrong|incorrect|not right|not correct|a mistake|mistaken)|i (?:was|am) (?:wrong|mistaken)"
    r"|i'm (?:wrong|mistaken)|my mistake|i take (?:that|it) back|that (?:can't|cannot) be (?:right|correct)|wait,? no|need to correct|disregard"
    r"|i doubt (?:it|that)|i don't think so|(?:that|this|it) is not (?:right|correct))\b|^\W*no\W*$"
)
_HEDGED = re.compile(
    rf"\b(?:possibly|maybe|perhaps|alternatively|(?:could|might|may)(?:\s\w+){{0,2}}?(?:\sbe)?)\b{_FILL}(?P<list>{MARK})|(?P<other>{MARK})\s(?:is|would be) (?:also )?(?:possible|plausible)\b"
)
# A context in which a declaring phrase declares nothing.
_HYPOTHETICAL = re.compile(
    r"\b(?:if|whether|unless|some|people|someone|others|one (?:could|might|may|would)|you|they|he|she|might|may|could|tempt\w*|at first|initially|originally|first thought"
    r"|suppose|assum\w+|imagine|wrong to|mistake to|had|was tempted|initial|earlier|previous|original|have said|hard to|difficult to|struggle to|argue|whoever|anyone|those|how|which option|example|instance|format|like|nobody|no one|none|few|(?:was|were) (?:going|about) to)\b[^.;,]*$"
    r"|\b(?:second|third|next|alternative|alternate|backup|other|another|possible|plausible|candidate|wrong|incorrect)(?:[- ](?:best|likely|likeliest))?\s*$"
)
_CLAUSE = re.compile(r"[,;:]\s|\bbut\b|\s-\s")

_MARKS = re.compile(MARK)
_DENIED_MARKS = re.compile(DENIED)
_SURE = re.compile(
    r"\b(?:there is |there's )?(?:no|without(?: a| any)?|beyond(?: a| any)?) (?:reasonable )?(?:doubt|question)\b(?:,? that\b)?|\bnot only\b|\bnothing but\b|\bno(?:ne)? other than\b|\bundoubtedly\b|\bdoubtless\b"
    r"|\bcan(?:not|'t) be anything (?:but|other than)\b"
)
_NEGATION = (
    r"(?:\b(?:not|never|nor|neither|no(?!\s?[:,.!])|without|except|excluding|than|unlike|far from|least|worst|second[- ]best|runner[- ]up|forget|ignor\w+|skip|versus|vs|against|cannot|anything but|all but|everything but|instead of|as opposed to"
    r"|over|rul(?:e|es|ed|ing) out|eliminat\w+|exclud\w+|reject\w+|discard\w*|avoid\w*|dismiss\w*|doubt\w*|wrong|incorrect|unlikely|hardly|impossible"
    r"|too \w+ (?:for|to be))\b|n't\b)"
)
_NEGATION_FILL = (
    r"(?:[\s\"'(\[:]|\b(?:be|is|it|it's|that|the|answer|a|an|option|choice|letter|quite|really|just|correct|right|best|to|choose|select|pick|go|with|say|think"
    r"|believe|would|in|fact|was|this|shot|as|necessarily|simply|look|looks|like|seem|seems|either|for|sure|if|called|considered|classified|opt|both|other|options|way|likely|plausible|convinced|certain|confident)\b){1,12}"
)
_DENIAL = re.compile(rf"{_NEGATION}{_NEGATION_FILL}{MARK}(?:(?:\s?,\s?{MARK}){{0,8}}\s?,?\s?(?:or|nor|and|/)\s?(?:(?:the|a|an|option)\s)?{MARK}){{0,4}}|\bprefer\b[^.;]{{0,20}}{MARK}\s(?P<lesser>(?:to|over)\s(?:the\s)?{MARK})|\b(?:most likely|probably|primarily)\b[^.;]{{0,20}}?{MARK}[^.;,]{{0,20}},\s(?P<possible>(?:possibly|maybe|perhaps|less likely)\s{MARK})")
_ADVERBS = r"(?:(?:\w+ly|far|much|also|both|all|just|thus|be|a|the|bit|tempting but|plausible but|close but|tempting,? but)\s){0,4}"
_BAD = r"(?:not|less|too|wrong|a trap|a distractor|incorrect|false|out|ruled out|eliminated|excluded|unlikely|impossible|implausible|inaccurate|off|inappropriate|unsuitable)\b"
_NEGATIVE_VERB = r"(?:isn't|wasn't|doesn't|can't|cannot|couldn't|shouldn't|won't|(?:would|does|can|could|should) not)\b"
_REJECTED = re.compile(
    rf"(?P<many>(?>{MARK}(?:\s?(?:,\s?(?:and\s)?|and\s|or\s|/|&)\s?{MARK}){{1,8}}))(?:\s{_HEAD}){{0,3}}\s(?:(?:are|were|seem|look|appear|would be|can be|can both be|can|do)\s{_ADVERBS}{_BAD}|(?:aren't|don't|weren't|can't|cannot)\b)"
    rf"|(?P<one>{MARK})\s?(?:\([^()]{{0,40}}\)\s?)?(?:{_HEAD}\s?){{0,3}}[)\"']?\s?(?:,?\s?(?:which|but (?:it|this|that)|it|that)\s)?"
    rf"(?:\s?(?:is|was|seems?|looks?|appears?|feels?|would be|can be|are)\s{_ADVERBS}{_BAD}|\s?{_NEGATIVE_VERB}|\s?[:|-]?\s?(?:too|wrong|incorrect|no)\b(?!,)|\s?\(is wrong\))"
)


def denied(sentence: str) -> str:
    """The sentence with its denied options as marks of their own."""
    sentence = _SURE.sub(" surely ", _IS_SHORT.sub(r"\1 is", sentence))
    sentence = _CONSIDERED.sub(" them", _FORMER.sub(_named_mark, sentence))
    sentence = _DENIAL.sub(_deny_match, sentence)
    return _REJECTED.sub(_deny_match, sentence)


_IS_SHORT = re.compile(r"\b(it|that|this|there|here)'s\b")
_CONSIDERED = re.compile(rf"\b(?:between|out of)(?:\s(?:the|a|an|option|options|either))?\s{MARK}(?:\s?,\s?{MARK})*\s?,?\s?(?:and|or)\s(?:(?:a|an|the|option)\s)?{MARK}")
_FORMER = re.compile(r"\bthe (former|latter)\b")


def _named_mark(match: re.Match[str]) -> str:
    """The mark that "the former" or "the latter" stands for: of the last two different ones before it."""
    before = list(dict.fromkeys(_MARKS.findall(match.string, max(0, match.start() - 200), match.start())))
    return before[-2 if match[1] == "former" else -1] if len(before) >= 2 else match[0]


def _deny_match(match: re.Match[str]) -> str:
    """The text of a denial with its options denied and without the words that deny them."""
    part = match.groupdict().get("lesser") or match.groupdict().get("possible")
    if part:
        return match[0].replace(part, _deny(part))
    return " ".join(["~", *_DENIED_MARKS.findall(_deny(match[0]))])


def _deny(text: str) -> str:
    return _MARKS.sub(lambda match: chr(DENIED_MARK + (ord(match[0]) & 31)) if match[0] < chr(DENIED_MARK) else " ", text)


_PLAIN = re.compile(
    rf"[^\w]|\b(?:or|and|also|possibly|maybe|perhaps|probably|likely|definitely|either|both|option|choice|letter|the|a|an|answer|final|correct|best|so|my|yes|ok|okay|sure|certainly|hence|thus|therefore"
    rf"|ms|cu|ws|ecu|mcu|mws|ews|es|assistant|model|{_HEAD})\b"
)


def is_only_marks(sentence: str) -> bool:
    """Whether a sentence consists of options only, such as "B. Medium", "option (B)" or "B or C"."""
    return len(sentence) <= 120 and _MARKS.search(sentence) is not None and not _PLAIN.sub("", sentence)


_LEADING = re.compile(
    rf"(?:(?!{MARK})\W){{0,8}}(?:(?:option|the|a|an|choice|probably|most|likely|definitely|clearly|surely)\s){{0,4}}{_LIST}(?:\s?[)\"'])?(?:\s{_HEAD})*\s?(?:[:-]|,?\s?(?:because|since|as|due|given|for|though|although)\b|,\s{{1,2}}(?:there|this|that|it|the|surely|i|we|as|with|you|all|both|he|she|they|a|an|its|because)\b|\()"
)


def leading(sentence: str) -> str:
    """Marks that a sentence begins with before it explains them: "B, because …"."""
    match = _LEADING.match(sentence)
    return marks_in(match["list"]) if match and not _HEDGED.search(sentence, match.end()) else ""


def marks_in(text: str) -> str:
    """The marks of a text that are not denied."""
    return "".join(_MARKS.findall(text))


def _hypothetical(sentence: str, start: int, end: int = -1) -> bool:
    """Whether the clause before a declaring phrase makes it a condition or somebody else's: "some would select"."""
    before = sentence[max(0, start - 80) : max(start, end)]
    return bool(_HYPOTHETICAL.search(_CLAUSE.split(before)[-1]) or (_CONDITION.match(sentence) and "would" in sentence))


# A condition that does not only excuse a guess ("if I had to choose").
_CONDITION = re.compile(r"\W{0,4}(?:had|if)\b(?!\s(?:i|we|you|forced|pressed|asked)\b[^,]*\b(?:choos\w*|pick\w*|guess|answer|select|forced|one)\b)")


_CLAIMS = ((_DECLARED, "declared"), (_IS_RIGHT, "declared"), (_CORRECTED, "corrected"))


def claims(sentence: str) -> list[Claim]:
    """The declarations, corrections and withdrawals of a sentence whose denials are marked, in order."""
    if sentence.rstrip(" \"')]").endswith("?") and not re.search(r"\bno\b", sentence):
        return []
    found = []
    for pattern, rule in _CLAIMS if _MARKS.search(sentence) else ():
        for match in pattern.finditer(sentence):
            groups = match.groupdict()
            chosen = match.end("choose") if groups.get("choose") else -1
            if not _hypothetical(sentence, match.start(), chosen):
                name = "ticked" if groups.get("tick") else rule
                found.append(Claim(match.start("list"), match.end(), marks_in(match["list"]), name))
    if not found and (withdrawal := _WITHDRAWN.search(sentence)):
        return [Claim(withdrawal.start(), withdrawal.end(), "", "withdrawn")]
    joined: list[Claim] = []
    for claim in sorted(found):
        before = joined[-1] if joined else None
        if before and claim.rule != "corrected" and not _CONTRAST.search(sentence, before.end, claim.start):
            joined[-1] = Claim(before.start, max(before.end, claim.end), before.marks + claim.marks, claim.rule)
        else:
            joined.append(claim)
    if joined and (hedge := _HEDGED.search(sentence, joined[-1].end)):
        marks = joined[-1].marks + (hedge["list"] or hedge["other"])
        joined.append(Claim(hedge.start(), hedge.end(), marks, "declared"))
    return joined


# Words between two declarations of a sentence that let the second replace the first.
_CONTRAST = re.compile(r"\b(?:but|making|however|yet|although|though|so|therefore|thus|hence|then|no|wait|actually|instead)\b|->|;|[.!?]\s")
# Words that make a mere mention no answer: "forget B", "whoever says B", "B is tempting".
_DISTANCED = re.compile(
    r"\b(?:not|no|never|none|nothing|cannot|whoever|anyone|those|some|people|others?|if|whether|unless|could|might|may|hard|difficult|tempting|eliminat\w+|exclud\w+"
    r"|reject\w+|rul\w+ out|less|least|wrong|incorrect|unlikely|doubt\w*|forget|ignore|skip|avoid|discard\w*|dismiss\w*|dispute\w*|question\w*|neither|nor|hardly|barely|either|similar"
    r"|compare\w*|example|instance|e\.g|labell?ed|describe|explain|unsure|uncertain|depends?|unclear|would|going to|about to|nobody|few)\b|n't\b|\?"
)


def is_distanced(sentence: str) -> bool:
    """Whether a sentence that only mentions an option may deny, doubt or quote it."""
    clauses = re.split(r"[,;:]\s", sentence)
    return _NEGATED.search(sentence) is not None or any(
        _MARKS.search(clause) and _DISTANCED.search(clause) for clause in clauses
    )


def at_an_edge(sentence: str) -> bool:
    """Whether a letter opens or closes a clause of a sentence, as an answer does: not "the letter B on the sign"."""
    return _AT_EDGE.search(sentence) is not None


_AT_EDGE = re.compile(
    rf"(?:^|[.,;:!?]\s)(?:[^\w.,;:!?]|\boption\b){{0,5}}?{LETTERS}|{LETTERS}[)\]\"'\s]{{0,4}}(?:$|[.,;:!?}}-])"
)
# A negation anywhere before an option: "no sign of the camera tilting, panning or zooming".
_NEGATED = re.compile(
    r"(?:\b(?:no|not|without|never|none|neither|nor)\b|n't\b)"
    rf"(?:(?!\b(?:but|however|so|hence|thus|therefore|suggest\w*|indicat\w+|rather|instead|it is|this is)\b)[^.;]){{0,160}}?{MARK}"
)


class Sentence(NamedTuple):
    """A marked sentence and what it claims."""

    text: str  # in lower case, denials marked
    claims: tuple[Claim, ...]
    marks: str  # that are not denied
    denied: frozenset[str]  # letters
    only_marks: bool  # whether it consists of options only
    begins: str  # marks that it consists of or begins with, as an answer


@lru_cache(maxsize=2048)  # sentences recur: bare letters, and loops of a model
def read_sentence(text: str) -> Sentence:
    """Read a sentence of a marked text."""
    text = denied(text.lower())
    marks = marks_in(text)
    letters = frozenset(chr(ord("A") + (ord(mark) & 31)) for mark in _DENIED_MARKS.findall(text))
    if not marks:
        return Sentence(text, tuple(claims(text)), "", letters, only_marks=False, begins="")
    only_marks = is_only_marks(text)
    return Sentence(text, tuple(claims(text)), marks, letters, only_marks, marks if only_marks else leading(text))
