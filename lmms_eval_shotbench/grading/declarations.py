"""The patterns of English sentences that declare an answer: data for `claims.py`.

A sentence is in lower case, with marks for its options (`marks.py`) and its denials marked (`denials.py`). A pattern
has the group `list` for the options that it declares. Every repetition is bounded, so that time is linear.
"""

from __future__ import annotations

import re

from lmms_eval_shotbench.grading.marks import CONFLICT, DENIED, LETTERS, MARK, words

NOUN = words(
    r"""answers? | option | choice | solution | selection | prediction | verdict | result | conclusion | guess |
        pick | letter |
    response | label | decision | judge?ment | classification"""
)
HEAD = words(
    "shot | lens | light | angle | view | framing | composition | option | choice | answer | letter | type | one"
)

# Between a declaring phrase and the option: "the answer is *most likely option* B".
_FILL = (
    words(
        rf"""[\s:"'(\[=>,~-] | {DENIED} |
        \b(?:but|the|a|an|is|it|it's|this|that|to|be|of course|as|follows|option|choice|letter|answer|number|best
        |correct|right|final
        |most|more|likely|described|shown|here|clear|classic|typical|standard|simple|obvious|just|simply|still
        |actually|indeed|now
        |in my (?:opinion|view)|i (?:think|believe|guess)|(?:first|second|third|fourth|last) (?:option|one|choice)
        |therefore|thus|so
        |then|surely|(?!unlikely\b)\w{{2,20}}ly)\b"""
    )
    + "{0,24}+"
)
# Between two options that are named together: "B (Medium), *or possibly* C".
_SEPARATOR = (
    words(
        rf"""[\s,;/&|+()\[\]"'-] |
        \b(?:or|and|also|possibly|maybe|perhaps|probably|even|either|both|alternatively|option|choice|letter|the|a|an
        |as well as
        |{HEAD})\b"""
    )
    + "{0,12}+"
)
_NO_SUBJECT = r"(?!\s?(?:is|are|being|was|would|shows?|has|have)\b)"
LIST = rf"(?P<list>(?>(?:\b(?:either|both)\s)?{MARK}(?:{_SEPARATOR}{MARK}{_NO_SUBJECT}){{0,9}}))"

_IS = words(
    r"""\b(?:is|are|was|would be|should be|must be|has to be|can only be|will be|seems to be|appears to be|remains
        |becomes|be|falls on
    |goes to)\b | 's\b | [:=] | -> | \s-+\s"""
)
# Between "answer" and "is": "the answer *to this question* is".
_BETWEEN = (
    r"(?:\s(?!(?:is|are|was|not|cannot|isn't|can't|one|between|among|might|may|could|can)\b)[\w'-]+"
    r"|\s?\([^()]{0,40}\)){0,8}?"
)
_DIMENSION = words(
    r"""shot (?:size|type) | framing | camera angle | angle | lens | focal length | lighting | light source |
        composition |
    camera (?:movement|motion) | movement | type of \w+"""
)
_CHOOSE = words(
    r"""choose | select | pick | chose | selected | picked | choosing | selecting | picking | go(?:ing)? (?:with
        |for) | went with |
    opt(?:ing)? for | settl(?:e|ing) (?:on|for) | (?:stick|stay|remain)(?:ing)? with | vote for |
    lean(?:ing)?(?: towards?| to)? |
    plump for | my (?:money|bet) is on |
    bet on | prefer |
    favou?r | commit(?:ting)? to | decid(?:e|ed|ing) (?:on|for) | take"""
)
# Between a conclusion and the option: "therefore, *the shot size of this image is* a medium".
_SUBJECT = (
    words(
        r"""[\s,:"'(\[-] |
        \b(?:this|it|that|the|we|i|i'd|say|have|has|can|shot|image|frame|camera|lens|lighting|light|clip|scene
        |movement|framing|angle
        |composition|size|type|be|is|are|was|must|should|would|it's|used|only|left|with|see|conclude|called
        |considered|seems|appears
        |being|to|of|in|here|movie|film|option|choice|answer|letter|a|an|correct|best|right|most|likely|final|clearly
        |probably
        |definitely)\b"""
    )
    + "{0,24}+"
)
_CONCLUDE = r"(?:^|[.,;:-]\s?|\band\s|\bbut\s)" + words(
    r"""so | thus | therefore | hence | consequently | accordingly | overall | ultimately | in (?:conclusion|summary
        |short|sum) |
    to conclude | to sum up | altogether | finally | all in all | as such | which means | this means | that leaves |
    leaving |
    this leaves | making"""
)
_BEST = words(r"(?:most|more)\s\w+ | best | closest | nearest | correct | right")

_STOP = r"(?=\s?(?:[.,;:!)\"'-]|$|because\b|since\b|as\b|here\b|given\b))"  # after an option, ends the clause

DECLARED = re.compile(
    "(?:"
    rf"\b{NOUN}\b{_BETWEEN}\s?{_IS}{_FILL}"  # the answer is, final answer:
    rf"|\b(?:answer|prediction|verdict|solution)\s[(\[\"']{{0,2}}(?={LETTERS})"  # answer (B)
    rf"|\b{_BEST}\s(?!\w+ly\b)\w+{_BETWEEN}\s?{_IS}{_FILL}"  # the most appropriate description is
    rf"|(?P<choose>\b{_CHOOSE}\b){_FILL}"
    rf"|\b(?:i|we|i'd|we'd|i'll|i'm)(?:\s(?:would|will|can))?\s(?:say|answer|conclude|guess)\b(?:\sthat\b)?{_FILL}"
    rf"|\b(?:i|we)\s(?:think|believe|reckon|suspect)\b(?:\sthat\b)?{_FILL}(?={MARK}{_STOP})"
    rf"|\b(?:dealing with|looking at|what (?:we|i) (?:see|have)(?:\s\w+)? (?:is|are))\b{_FILL}(?={LETTERS})"
    rf"|\b(?:it|this|that|which|these|those)\s(?:is|are|must be|has to be|would be|should be)\b"
    rf"{_FILL}(?={LETTERS}|{CONFLICT})"
    rf"|(?P<conclude>{_CONCLUDE}\b{_SUBJECT})"
    r"|\b(?:best|closely|most|accurately|perfectly|exactly)\s(?:match\w*|describ\w+|fits?|correspond\w*|align\w*)\b"
    rf"(?:\s(?:to|with|by|as))?{_FILL}"
    rf"|\b(?:classified|categori[sz]ed|identified|described) as\b{_FILL}"
    rf"|\b{_DIMENSION}\b(?:\s(?!(?:is|not)\b)[\w'-]+){{0,6}}?\s?"  # the lighting of this shot is
    rf"(?:\b(?:is|would be|appears to be|seems to be|can be described as)\b|:){_FILL}"
    rf"|^(?:[^\s:]{{1,30}}\s){{2,60}}[^\s:]{{0,30}}:\s?[(\[\"']{{0,2}}(?={LETTERS}[)\]\"']{{0,2}}[.! ]{{0,3}}$)"  # …: B
    rf"){LIST}(?!\s?(?:\?|if\b|would\b|could\b|might\b|,?\s?or\s(?!answer)\w))"
)

# After an option: ", and it is the option I choose", "which is my answer".
_CHOSEN_BEFORE = (
    r",?\s(?:(?:and|so|hence|thus)\s(?:(?:hence|thus|therefore|so)\s)?(?:it|this|that)|which)\s(?:is|would be)\s"
    r"(?:(?:therefore|thus|also|clearly|indeed)\s)?(?:my (?:final\s)?(?:answer|choice|pick|selection|vote)\b"
    rf"|(?:the (?:option|answer|choice|one|letter)(?: that| which)?|what)"
    rf"\s(?:i|i'd|i'll|i'm|i am|i would|i will)\s{_CHOOSE}\b)"
)
_AFTER_RIGHT = r"(?=\s?(?:[.,;:!)\"'-]|$|because|since|as\b|here|for this|given|than))"
_RIGHT = (
    r"(?:(?:the|a|an|also|clearly|definitely|probably|most likely|indeed|therefore|thus|by far)\s){0,4}"
    r"(?:(?:correct|right|best|(?:most|more) (?:likely|appropriate|accurate|suitable|fitting|plausible)|final"
    r"|closest|better|only)\b"
    rf"(?:\s(?:{NOUN}|fit|match|description|one|here|of (?:these|the four|all))\b){{0,4}}{_AFTER_RIGHT}|(?:my"
    rf"|the) answer\b)"
)
IS_RIGHT = re.compile(
    rf"{LIST}\s?[)\"',]?(?:\s{HEAD}){{0,3}}\s?"
    + words(
        rf"""\b(?:is|are|'s|seems|looks|would be|must be|remains)\b\s{_RIGHT} |
        \b(?:fits|matches|describes|suits)\b(?:\s\w+){{0,3}}?\s(?:best|well|better|perfectly|most closely|exactly)\b |
        \bbest\s(?:fits|matches|describes|suits|corresponds)\b | \bis my (?:choice|answer|pick)\b | \bwins\b |
        {_CHOSEN_BEFORE} |
        (?P<tick>\(is correct\)) | [-:|]\s?(?:yes|correct|right)\b | ,?\s(?:it is|then)\s?[.!]?$"""
    )
)

_CORRECT = words(
    r"""wait | no(?=\s?[,.!:;-]) | nope | hmm | actually | correction | corrected(?: answer)? | sorry | oops |
        scratch that |
    on second thoughts? | on reflection | i mean | i meant | rather | instead | revised(?: answer)? |
    updated(?: answer)? | edit |
    chang(?:e|ing|ed) (?:it|this|that|my (?:mind|answer)) to | switch(?:ing|ed)? (?:it |my answer )?to |
    revis(?:e|ing) (?:it |my answer )?to | make that | it should be"""
)
CORRECTED = re.compile(
    rf"(?:\b{_CORRECT}\b|{DENIED}[\s,;-]{{0,3}}(?:but\s)?it is\b)"
    rf"(?:[\s,.:!>-]|\b{_CORRECT}\b|\b(?:the|answer|is|it|option|should|be|say|i'd|a|an)\b){{0,12}}{LIST}"
    r"(?=\s?(?:[.,;:!?)\]\"'-]|$|because\b|since\b|as\b|not\b|instead\b|it is\b|then\b|~))"
)
WITHDRAWN = re.compile(
    r"\b"
    + words(
        r"""scratch that | that (?:is|was|seems|looks) (?:wrong|incorrect|not right|not correct|a mistake|mistaken) |
        i (?:was|am) (?:wrong|mistaken) | i'm (?:wrong|mistaken) | my mistake | i take (?:that|it) back |
        that (?:can't|cannot) be (?:right|correct) | wait,? no | need to correct | disregard | i doubt (?:it|that) |
        i don't think so |
        (?:that|this|it) is not (?:right|correct)"""
    )
    + r"\b|^[\s\"'.-]{0,3}no[\s\"'.!]{0,3}$"
)
# "Actually, let me look again", "never mind": what was said before counts no more.
_LEAD = words(
    "actually | hm+ | wait | hold on | hang on | no | oh | well | sorry | but | ok(?:ay)? | on second thoughts? | so"
)
_LOOK = words(
    r"""(?:look|think|check|watch|try|go over|read)(?:\s[\w']+){0,4}?\s(?:again|closer|closely|once more|afresh) |
        re-?(?:consider|think|examine|check|evaluate|assess|visit|read|watch) | double[- ]check |
        (?:take|have) (?:another|a second|a closer) look | start over | correct (?:that|this|it|myself) | revise"""
)
RECONSIDERED = re.compile(
    rf"(?:^|[.;:!-]\s)\W{{0,4}}(?:(?P<strong>(?:{_LEAD}[\s,.!-]{{1,5}}){{0,3}}"
    rf"(?:never ?mind\b|(?:let me|let's|i (?:should|need to|must|have to|will|want to)|i'll)"
    rf"\s(?:\w+\s){{0,2}}?{_LOOK}\b"
    r"|(?:scratch|strike|forget) that\b|forget what i (?:said|wrote)\b|i take (?:that|it) back\b"
    r"|i (?:misread|misjudged)\b"
    r"|that (?:does not|doesn't|cannot|can't) (?:look|seem|sound|feel|be) right\b"
    r"|(?<=[a-z][ ,])\s?no(?=[.,!]|$)))"
    rf"|(?:actually|hm+|wait|hold on|hang on)\b|(?:{_LEAD}[\s,.!-]{{1,5}}){{0,2}}"
    r"(?:(?:looking|thinking|checking|watching)"
    r"(?:\s[\w']+){0,3}?\s(?:again|closer|closely|carefully|once more)\b"
    r"|(?:on|upon|at) (?:a )?(?:closer|second|another|further) (?:look|inspection|viewing|glance|thoughts?)\b"
    r"|on reflection\b))"
)
# Sentences after it that keep what was said before, and those that state a new conclusion.
CONFIRMED = re.compile(r"\b(?:confirm\w*|still|holds?|stands?|stays?|stick\w*|agree|same|fine|yes|keep\w*)\b")
CONCLUDES_ANEW = re.compile(
    rf"\b(?:it|this|that|which|we|i|making it|list|option)\s(?:is|are|was|must be|has to be|call|calls|have|mean|see)\b"
    rf"[^.;]{{0,60}}?{MARK}|\bmaking (?:it|this)\b{_FILL}{MARK}"
)
HEDGED = re.compile(
    rf"\b(?:possibly|maybe|perhaps|alternatively|(?:could|might"
    rf"|may)(?:\s\w+){{0,2}}?(?:\sbe)?)\b{_FILL}(?P<list>{MARK})"
    rf"|(?P<other>{MARK})\s(?:is|would be) (?:also )?(?:possible|plausible)\b"
)
LEADING = re.compile(
    rf"(?:(?!{MARK})\W){{0,8}}(?:(?:option|the|a|an|choice|probably|most|likely|definitely|clearly"
    rf"|surely)\s){{0,4}}{LIST}"
    rf"(?:\s?[)\"'])?(?:\s{HEAD}){{0,3}}\s?(?:[:-]|,?\s?(?:because|since|as|due|given|for|though|although)\b|,\s{{1,2}}"
    r"(?:there|this|that|it|the|surely|i|we|as|with|you|all|both|he|she|they|a|an|its|because)\b|\()"
)

# Words before a declaring phrase in the same clause with which it declares nothing: "some would select".
HYPOTHETICAL = re.compile(
    r"\b"
    + words(
        r"""if | whether | unless | some | people | someone | others | one (?:could|might|may|would) | you | they |
            he | she | might |
        may | could | tempt\w* | at first | initially | originally | first thought | suppose | assum\w+ | imagine |
        wrong to |
        mistake to | had | was tempted | initial | earlier | previous | original | have said | hard to |
        difficult to | struggle to |
        argue | whoever | anyone | those | how | which option | example | instance | format | like | nobody | no one |
        none | few |
        (?:was|were) (?:going|about) to"""
    )
    + r"\b[^.;,]*$|\b"
    + words(
        r"""second | third | next | alternative | alternate | backup | other | another | possible | plausible |
            candidate | wrong |
        incorrect"""
    )
    + r"(?:[- ](?:best|likely|likeliest))?\s*$"
)
# A condition that only excuses a guess: "if I were forced to choose".
EXCUSE = re.compile(
    r"\bif\s(?:(?:i|we|you|really|absolutely|only|were|was|am|are|had|have|i'm)\s){0,4}"
    r"(?:must|to|forced|pressed|pushed|made|asked|obliged|required)\b(?:[\s,]+(?:to|me|it|one|just|only|choose|pick|guess"
    r"|answer|select|commit|decide|settle|say|name|on)\b){0,6}"
)
# A condition that does not only excuse a guess ("if I had to choose").
CONDITION = re.compile(
    r"\W{0,4}(?:had|if)\b(?!\s(?:i|we|you|forced|pressed|asked)\b[^,]{0,80}\b"
    r"(?:choos\w*|pick\w*|guess|answer|select|forced|one)\b)"
)
# Words between two declarations of a sentence that let the second replace the first.
CONTRAST = re.compile(
    r"\b(?:but|making|however|yet|although|though|so|therefore|thus|hence|then|no|wait|actually|instead)\b|->|;|[.!?]\s"
)
