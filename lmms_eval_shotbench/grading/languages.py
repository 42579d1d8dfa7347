"""Words of answers in other languages, with the English words that `claims.py` reads: data, and one substitution.

A text in Chinese, Japanese or Korean is recognised by its script, one in another language by a word for "answer",
"option" or "choose". Only words that declare, deny or join answers are needed.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Words that are not ambiguous with English: one of them selects the language.
SIGNS: dict[str, str] = {
    "Spanish": r"respuesta|opción|opcion|elijo|elegir|escojo|selecciono|correcta es",
    "Portuguese": r"resposta|opção|opcao|escolho",
    "French": r"réponse|reponse|je choisis|l'option|c'est|ce n'est|choisir",
    "Italian": r"risposta|opzione|scelgo",
    "German": r"antwort|lösung|richtige?|wähle|auswahl|nicht|sondern",
    "Russian": r"[а-яё]{2,}",
}

WORDS: dict[str, dict[str, str]] = {
    "Spanish": {
        "respuesta": "answer", "opción": "option", "opcion": "option", "elijo": "i choose", "escojo": "i choose",
        "selecciono": "i select", "elegiría": "i choose", "correcta": "correct", "correcto": "correct",
        "final": "final", "la": "the", "el": "the", "mi": "my", "es": "is", "sería": "would be", "no": "not",
        "sino": "but", "pero": "but", "o": "or", "y": "and", "ni": "nor", "porque": "because", "ya que": "because",
        "por lo tanto": "therefore", "por tanto": "therefore", "así que": "so", "creo que": "i think", "no puedo": "i cannot",
        "incorrecta": "incorrect", "espera": "wait", "la imagen": "the image", "ver": "see",
    },
    "Portuguese": {
        "resposta": "answer", "opção": "option", "opcao": "option", "escolho": "i choose", "correta": "correct",
        "a": "the", "minha": "my", "é": "is", "não": "not", "mas": "but", "ou": "or", "e": "and", "nem": "nor",
        "porque": "because", "pois": "because", "portanto": "therefore", "logo": "so", "espere": "wait",
    },
    "French": {
        "réponse": "answer", "reponse": "answer", "l'option": "option", "je choisis": "i choose", "choisis": "choose",
        "bonne": "correct", "correcte": "correct", "la": "the", "le": "the", "ma": "my", "est": "is", "c'est": "it is",
        "serait": "would be", "n'est pas": "is not", "ce n'est pas": "it is not", "pas": "not", "mais": "but",
        "plutôt": "but", "ou": "or", "et": "and", "ni": "nor", "car": "because", "parce que": "because",
        "donc": "so", "par conséquent": "therefore", "finale": "final", "attendez": "wait", "non": "no",
    },
    "Italian": {
        "risposta": "answer", "opzione": "option", "l'opzione": "option", "scelgo": "i choose", "corretta": "correct",
        "giusta": "correct", "la": "the", "è": "is", "non è": "is not", "non": "not", "ma": "but", "bensì": "but",
        "o": "or", "oppure": "or", "e": "and", "né": "nor", "perché": "because", "quindi": "so", "dunque": "so",
    },
    "German": {
        "antwort": "answer", "antwortmöglichkeit": "option", "lösung": "solution", "wahl": "choice", "auswahl": "choice",
        "ich wähle": "i choose", "wähle": "choose", "ich würde": "i would", "wählen": "choose", "richtige": "correct",
        "richtig": "correct", "korrekte": "correct", "korrekt": "correct", "falsch": "wrong", "beste": "best",
        "die": "the", "der": "the", "das": "this", "meine": "my", "ist": "is", "wäre": "would be", "lautet": "is",
        "es": "it", "nicht": "not", "kein": "not", "keine": "not", "sondern": "but", "aber": "but", "oder": "or", "und": "and",
        "noch": "nor", "weil": "because", "da": "because", "denn": "because", "daher": "so", "deshalb": "so",
        "also": "so", "somit": "so", "folglich": "so", "endgültige": "final", "nein": "no", "moment": "wait",
    },
    "Russian": {
        "ответ": "answer", "правильный": "correct", "верный": "correct", "правильно": "correct", "вариант": "option",
        "выбираю": "i choose", "это": "is", "не": "not", "а": "but", "но": "but", "или": "or", "и": "and", "ни": "nor",
        "потому что": "because", "так как": "because", "поэтому": "so", "следовательно": "so", "нет": "no",
    },
}  # fmt: skip

# Phrases of Chinese, Japanese and Korean; these scripts have no blanks between words.
PHRASES: dict[str, str] = {
    # Chinese
    "答案": " answer ", "正确": " correct ", "最佳": " best ", "最终": " final ", "選項": " option ", "选项": " option ",
    "选择": " choose ", "選擇": " choose ", "应选": " i choose ", "故选": " so i choose ", "我选": " i choose ",
    "应该是": " should be ", "應該是": " should be ", "不可能是": " cannot be ", "并不是": " is not ", "而不是": " instead of ",
    "不是": " is not ", "而是": " but it is ", "不选": " do not choose ", "并非": " is not ", "非": " not ", "排除": " exclude ",
    "不正确": " is incorrect ", "不对": " is wrong ", "错误": " wrong ", "為": " is ", "为": " is ", "是": " is ",
    "因为": " because ", "由于": " because ", "因此": " therefore ", "所以": " so ", "故": " so ", "综上": " in summary ",
    "或者": " or ", "还是": " or ", "或": " or ", "以及": " and ", "和": " and ", "与": " and ", "但": " but ",
    "也不": " also not ", "可能": " possibly ", "如果": " if ", "等等": " wait ", "不,": " no, ", "更正": " correction ",
    "最符合": " best matches ", "不符合": " is wrong ", "上传": " upload ", "上傳": " upload ", "请": " please ", "不": " not ",
    "没": " no ", "沒": " no ", "圖片": " image ", "無法": " cannot ", "无法": " cannot ", "不能": " cannot ", "看到": " see ", "查看": " view ", "图片": " image ", "图像": " image ",
    "视频": " video ", "请提供": " please provide ", "没有": " no ", "您": " you ",
    "则": " ", "則": " ", "都": " ", "均": " ", "也": " also ", "就": " ",
    # Japanese
    "正解": " correct answer ", "答え": " answer ", "回答": " answer ", "解答": " answer ", "選択肢": " option ",
    "最も適切": " best ", "正しい": " correct ", "最終的な": " final ", "ではありません": " is wrong ", "ではない": " is wrong ",
    "ではなく": " is wrong, it is ", "じゃなく": " is wrong, it is ", "なぜなら": " because ", "したがって": " therefore ", "よって": " so ",
    "または": " or ", "もしくは": " or ", "あるいは": " or ", "しかし": " but ", "を選び": " is my choice ", "は": " is ",
    "画像": " image ", "見ることができません": " cannot see ", "見えません": " cannot see ", "待って": " wait ", "いや": " no, ",
    "です": " ", "だと思": " ", "のような": " like ", "ません": " is wrong ", "ない": " is wrong ",
    # Korean
    "입니다": " ", "않": " is wrong ",
    "정답은": " correct answer is ", "정답": " correct answer ", "답은": " answer is ", "답변": " answer ", "답": " answer ",
    "선택지": " option ", "보기": " option ", "선택합니다": " is my choice ", "아니라": " is wrong, it is ", "아닙니다": " is wrong ",
    "아니고": " is wrong, it is ", "때문": " because ", "따라서": " therefore ", "그러므로": " so ", "또는": " or ", "혹은": " or ",
    "하지만": " but ", "이미지": " image ", "볼 수 없": " cannot see ", "잠깐": " wait ",
}  # fmt: skip

_SCRIPTS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SIGN = re.compile(
    r"\b(?:" + "|".join(f"(?P<{name}>{signs})" for name, signs in SIGNS.items()) + r")\b", re.IGNORECASE
)
_PHRASE = re.compile("|".join(re.escape(phrase) for phrase in sorted(PHRASES, key=len, reverse=True)))
_BORDER = re.compile("(?<=[A-Za-z0-9])(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])|(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])(?=[A-Za-z0-9])")


_PARTICLE = re.compile("(?<=[A-Z]) ?(?:가|이|은|는|が)(?= |$)")
_REPEATED = re.compile(r"\bis(?:\s+is\b)+")


def in_english(text: str) -> str:
    """The text with the words that declare, deny or join answers in English."""
    if not text.isascii() and _SCRIPTS.search(text):
        text = _PHRASE.sub(lambda match: PHRASES[match[0]], text)
        text = _PARTICLE.sub(" is ", _BORDER.sub(" ", text))
        text = _REPEATED.sub("is", text)
    if sign := _SIGN.search(text):
        words = WORDS[sign.lastgroup or ""]
        text = _words_pattern(sign.lastgroup or "").sub(lambda match: words[match[0].lower()], text)
    return text


@lru_cache(maxsize=None)
def _words_pattern(language: str) -> re.Pattern[str]:
    words = sorted(WORDS[language], key=len, reverse=True)
    # A capital alone is an option, even where it is also a word: "O", "A", "E".
    alternatives = "|".join(rf"(?-i:{re.escape(word)})" if len(word) == 1 else re.escape(word) for word in words)
    return re.compile(rf"(?<![\w'])(?:{alternatives})(?![\w'])", re.IGNORECASE)
