"""Recognise responses that refuse to answer because the model did not see the picture, or would not look at it.

Standard library only; linear time.
"""

from __future__ import annotations

import re

_MEDIUM = (
    r"(?:images?|pictures?|photos?|photographs?|videos?|clips?|media|attachments?|files?|frames?|stills?|visuals?"
    r"|visual content|screenshot|footage|shot itself)"
)
_SOME = (
    r"(?:the|an?|any|your|this|that|attached|provided|actual|uploaded|specific|such|visual|original|movie|film|to"
    r"|of|or|see|view|and|/|\s)"
)
_UNABLE = (
    r"(?:can(?:no|')?t|can not|could(?: not|n't)|unable to|not able to|do(?: not|n't)|don't have the (?:ability"
    r"|capability) to|am not capable of|incapable of|without)"
)
_LOOK = (
    r"(?:see|seeing|view|viewing|access|open|look at|analy[sz]e|analy[sz]ing|process|display|load|find"
    r"|have access to|actually see|directly (?:see|view)|have|receive|watch|watching|examine|interpret)"
)
_REFUSAL = re.compile(
    rf"\b{_UNABLE}\s(?:currently\s|actually\s|directly\s|physically\s)?{_LOOK}\b{_SOME}{{0,10}}\b{_MEDIUM}\b"
    rf"|\b(?:please|could you|can you|you'll need to|kindly)\s(?:\w+\s){{0,3}}?(?:provide|upload|share|attach|send"
    rf"|include|describe|re-?upload)\b{_SOME}{{0,10}}\b{_MEDIUM}\b"
    rf"|\b(?:no|without(?: an?| the| any)?)\s{_MEDIUM}\s?(?:\w+\s){{0,4}}?(?:provided|attached|uploaded|included"
    rf"|available|shown|shared|visible|given|here|present)\b"
    rf"|\b{_MEDIUM}\s(?:is|was|has|did|does|could|were|are|have|appears? to be|seems? to be)(?:\s?n't"
    rf"|\snot)?\s(?:been\s|be\s)?(?:not\s)?(?:missing|blank|empty|unavailable|provided|attached|loaded|load|uploaded"
    rf"|visible|included|available|displayed|come through|broken)\b"
    rf"|\bthere (?:is|was|seems to be|appears to be)(?: no|n't an?)\s(?:\w+\s)?{_MEDIUM}\b"
    r"|\bas an? (?:text-based |large )?(?:ai|language model|text)\b[^.\n]{0,60}\b(?:can't|cannot|can not|unable"
    r"|don't|do not)\b"
    r"|\bi(?:'m| am) (?:sorry|afraid)\b[^.\n]{0,40}\b(?:can't|cannot|can not|unable to) (?:help|assist|answer|comply"
    r"|provide|determine|identify|do that)\b"
    r"|\bi (?:can't|cannot|can not|won't|am unable to|'m unable to) (?:help|assist|comply|answer (?:this|that"
    r"|the question)|assist you)\b"
    r"|\bno\s+see\W+(?:\w+\W+){0,4}?image\b|\bplease\W+(?:\w+\W+){0,2}?(?:upload|provide)\b"
    r"|\bcannot\s+(?:see|view)\W+(?:\w+\W+){0,3}?image\b|\bimage\W+(?:\w+\W+){0,2}?cannot see\b",
)
_AFFIRMED = re.compile(
    r"\b(?:is|was|were) (?:provided|attached|loaded|uploaded|visible|included|available|displayed)\b"
)
_NEGATED = re.compile(r"\b(?:no|not|without)\b|n't\b")


def refuses(text: str) -> bool:
    """Whether a plain text in lower case says that the picture cannot be seen, asks for it, or refuses to help."""
    return any(
        not _AFFIRMED.search(match[0]) or _NEGATED.search(match[0]) is not None for match in _REFUSAL.finditer(text)
    )
