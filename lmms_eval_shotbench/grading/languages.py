"""Words of answers in other languages, with the English words that `claims.py` reads: data, and one substitution.

A text in Chinese, Japanese or Korean is recognised by its script, one in another language by a word for "answer",
"option" or "choose". Only words that declare, deny or join answers are needed.
"""

from __future__ import annotations

import re
from functools import cache

# Words that are not ambiguous with English: one of them selects the language.
SIGNS: dict[str, str] = {
    "Spanish": r"respuesta|opción|opcion|elijo|elegir|escojo|selecciono|correcta es"
    r"|me (?:quedo con|inclino por|decanto por)|diría que"
    r"|yo (?:diría|elegiría)|opto por|apuesto por|mi elección",
    "Portuguese": r"resposta|opção|opcao|escolho|fico com|eu (?:não )?(?:diria|escolheria)"
    r"|opto pel[ao]|minha escolha|voto n[ao]",
    "French": r"réponse|reponse|je choisis|l'option|c'est|ce n'est|choisir"
    r"|je (?:ne )?(?:dirais|reste sur|choisirais|prends|penche pour|vote pour)"
    r"|j'opte pour|mon choix|je m'en tiens",
    "Italian": r"risposta|opzione|scelgo|sceglierei|direi|opto per|resto (?:su|con)|mia scelta|propendo per",
    "German": r"antwort|lösung|richtige?|wähle|auswahl|nicht|sondern"
    r"|ich (?:bleibe|würde|nehme|tippe|entscheide|tendiere)"
    r"|meine wahl",
    "Dutch": r"antwoord|ik (?:kies|zou|ga voor|blijf|neem)|mijn keuze",
    "Russian": r"[а-яё]{2,}",
}


def _by_word(table: dict[str, str]) -> dict[str, str]:
    """English by foreign word, of a table of foreign words by their English."""
    return {word: english for english, listed in table.items() for word in listed.split(", ")}


WORDS: dict[str, dict[str, str]] = {
    "Spanish": _by_word(
        {
            "answer": "respuesta",
            "option": "opción, opcion",
            "i choose": "me quedo con, me inclino por, me decanto por, opto por, "
            "apuesto por, yo elegiría, elijo, escojo, elegiría",
            "i select": "selecciono",
            "correct": "correcta, correcto",
            "final": "final",
            "the": "la, el",
            "my": "mi",
            "is": "es",
            "would be": "sería",
            "not": "no",
            "but": "sino, pero",
            "or": "o",
            "and": "y",
            "nor": "ni",
            "because": "porque, ya que",
            "therefore": "por lo tanto, por tanto",
            "so": "así que",
            "i think": "creo que",
            "i cannot": "no puedo",
            "incorrect": "incorrecta",
            "wait": "espera",
            "the image": "la imagen",
            "see": "ver",
            "i would say": "yo diría, diría, yo diría que, diría que",
            "my choice": "mi elección",
            "falls on": "recae en, recae sobre",
            "instead of": "frente a, en vez de, en lugar de, antes que",
            "although": "aunque",
            "i do not choose": "no me quedo con, no elegiría, no me inclino por, no diría que, no diría",
            "being": "siendo",
        }
    ),
    "Portuguese": _by_word(
        {
            "answer": "resposta",
            "option": "opção, opcao",
            "i choose": "fico com, opto pela, opto pelo, voto na, eu escolheria, escolheria, escolho",
            "correct": "correta",
            "the": "a",
            "my": "minha",
            "is": "é",
            "not": "não",
            "but": "mas",
            "or": "ou",
            "and": "e",
            "nor": "nem",
            "because": "porque, pois",
            "therefore": "portanto",
            "so": "logo",
            "wait": "espere",
            "i would say": "eu diria, eu diria que, diria",
            "my choice": "minha escolha",
            "falls on": "recai sobre, cai sobre",
            "instead of": "em vez de",
            "although": "embora",
            "i do not choose": "não fico com, não escolheria, não diria",
            "would be": "seria",
            "being": "sendo",
        }
    ),
    "French": _by_word(
        {
            "answer": "réponse, reponse",
            "option": "l'option",
            "i choose": "je reste sur, je choisirais, je prends, je penche pour, "
            "je vote pour, j'opte pour, je m'en tiens à, je choisis",
            "choose": "choisis",
            "correct": "bonne, correcte",
            "the": "la, le",
            "my": "ma",
            "is": "est",
            "it is": "c'est",
            "would be": "serait",
            "is not": "n'est pas",
            "it is not": "ce n'est pas",
            "not": "pas",
            "but": "mais, plutôt",
            "or": "ou",
            "and": "et",
            "nor": "ni",
            "because": "car, parce que",
            "so": "donc",
            "therefore": "par conséquent",
            "final": "finale",
            "wait": "attendez",
            "no": "non",
            "i would say": "je dirais, je dirais que, je dirais plutôt, je dirais plutôt que",
            "my choice": "mon choix",
            "falls on": "se porte sur",
            "instead of": "plutôt que, au lieu de",
            "although": "bien que",
            "i do not choose": "je ne choisirais pas, je ne dirais pas, je ne prends pas, "
            "je ne reste pas sur, je n'opte pas pour",
            "being": "étant",
        }
    ),
    "Italian": _by_word(
        {
            "answer": "risposta",
            "option": "opzione, l'opzione",
            "i choose": "sceglierei, opto per, resto sulla, resto su, resto con, propendo per, scelgo",
            "correct": "corretta, giusta",
            "the": "la",
            "is": "è",
            "is not": "non è",
            "not": "non",
            "but": "ma, bensì",
            "or": "o, oppure",
            "and": "e",
            "nor": "né",
            "because": "perché",
            "so": "quindi, dunque",
            "i would say": "direi, direi piuttosto, direi che",
            "my choice": "la mia scelta",
            "falls on": "cade sulla, ricade sulla, cade su, ricade su",
            "instead of": "invece di, invece della",
            "although": "anche se, sebbene",
            "i do not choose": "non sceglierei, non direi",
            "would be": "sarebbe",
            "being": "essendo",
        }
    ),
    "German": _by_word(
        {
            "answer": "antwort",
            "option": "antwortmöglichkeit",
            "solution": "lösung",
            "choice": "wahl, auswahl",
            "i choose": "ich bleibe bei, ich entscheide mich für, ich nehme, ich tippe auf, ich tendiere zu, ich wähle",
            "choose": "wähle, wählen",
            "i would": "ich würde",
            "correct": "richtige, richtig, korrekte, korrekt",
            "wrong": "falsch",
            "best": "beste",
            "the": "die, der",
            "this": "das",
            "my": "meine",
            "is": "ist, lautet",
            "would be": "wäre",
            "it": "es",
            "not": "nicht, kein, keine",
            "but": "sondern, aber",
            "or": "oder",
            "and": "und",
            "nor": "noch",
            "because": "weil, da, denn",
            "so": "daher, deshalb, also, somit, folglich",
            "final": "endgültige",
            "no": "nein",
            "wait": "moment",
            "i would say": "ich würde sagen, ich würde eher sagen, ich würde eher, ich würde mich für",
            "my choice": "meine wahl",
            "falls on": "fällt auf",
            "although": "obwohl, obgleich",
            "that": "dass",
            "is wrong": "nicht wählen, nicht nehmen, nicht sagen, nicht entscheiden",
        }
    ),
    "Dutch": _by_word(
        {
            "answer": "antwoord",
            "option": "optie",
            "i choose": "ik kies, ik kies voor, ik neem, ik ga voor, ik blijf bij",
            "i would say": "ik zou zeggen, ik zou eerder zeggen",
            "my choice": "mijn keuze",
            "falls on": "valt op",
            "correct": "juiste",
            "the": "het, de",
            "is": "is",
            "not": "niet, geen",
            "but": "maar",
            "or": "of",
            "and": "en",
            "because": "want, omdat",
            "so": "dus",
            "would be": "zou",
        }
    ),
    "Russian": _by_word(
        {
            "answer": "ответ",
            "correct": "правильный, верный, правильно",
            "option": "вариант",
            "i choose": "я выбираю, остановлюсь на, останавливаюсь на, склоняюсь к, "
            "остаюсь при, я остановлюсь на, я склоняюсь к, выбираю",
            "is": "это",
            "not": "не",
            "but": "а, но",
            "or": "или",
            "and": "и",
            "nor": "ни",
            "because": "потому что, так как",
            "so": "поэтому, следовательно",
            "no": "нет",
            "i would say": "я бы сказал, я бы сказала, скорее",
            "my choice": "мой выбор",
            "although": "хотя",
            "would be": "было бы, был бы, была бы",
        }
    ),
}

# Phrases of Chinese, Japanese and Korean, which have no blanks between words or join particles to them.
PHRASES: dict[str, str] = _by_word(
    {
        "answer": "答案, 答え, 回答, 解答, 답변, 답",
        "correct": "正确, 正しい",
        "best": "最佳, 最も適切",
        "final": "最终, 最終的な",
        "option": "選項, 选项, 選択肢, 선택지, 보기",
        "choose": "选择, 選擇",
        "i choose": "应选, 我选, 我会选, 我还是选, 还是选, 我选择, 我会选择, 我倾向于, 倾向于",
        "than": "比",
        "is too": "太",
        "so i choose": "故选",
        "should be": "应该是, 應該是",
        "cannot be": "不可能是",
        "is not": "并不是, 不是, 并非",
        "instead of": "而不是",
        "but it is": "而是",
        "do not choose": "不选, 不会选, 不会选择, 不倾向于, 不倾向, 不选择",
        "not": "非, 不",
        "exclude": "排除",
        "is incorrect": "不正确",
        "is wrong": "を選びません, を選びませ, を選択しません, にしません, 선택하지 않, 고르지 않, 不对, 不符合, "
        "ではありません, ではない, ません, ない, 않, 아닙니다",
        "wrong": "错误",
        "is": "為, 为, 是, は",
        "because": "因为, 由于, なぜなら, 때문",
        "therefore": "因此, したがって, 따라서",
        "so": "所以, 故, よって, 그러므로",
        "in summary": "综上",
        "or": "或者, 还是, 或, または, もしくは, あるいは, 또는, 혹은",
        "and": "以及, 和, 与",
        "but": "但, しかし, 하지만",
        "also not": "也不",
        "possibly": "可能",
        "if": "如果",
        "wait": "等等, 待って, 잠깐",
        "no,": "不,, いや",
        "correction": "更正",
        "best matches": "最符合",
        "upload": "上传, 上傳",
        "please": "请",
        "no": "没, 沒, 没有",
        "image": "圖片, 图片, 图像, 画像, 이미지",
        "cannot": "無法, 无法, 不能",
        "see": "看到",
        "view": "查看",
        "video": "视频",
        "please provide": "请提供",
        "you": "您",
        "": "则, 則, 都, 均, 就, です, だと思, 입니다",
        "also": "也",
        "correct answer": "正解, 정답",
        "is wrong, it is": "ではなく, じゃなく, 아니라, 아니고",
        "is my choice": "を選び, を選択, を選ぶ, にします, に決め, 선택합니다, 선택하겠, 선택할, 고르겠, "
        "고릅니다, 고를, 택하겠, 택합니다, 하겠습니다",
        "is what i think": "라고 생각, 라고 봅니다",
        "cannot see": "見ることができません, 見えません, 볼 수 없",
        "like": "のような",
        "correct answer is": "정답은",
        "answer is": "답은",
    }
)

_SCRIPTS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SIGN = re.compile(r"\b(?:" + "|".join(f"(?P<{name}>{signs})" for name, signs in SIGNS.items()) + r")\b")  # lower case
_PHRASE = re.compile("|".join(re.escape(phrase) for phrase in sorted(PHRASES, key=len, reverse=True)))
_BORDER = re.compile(
    "(?<=[A-Za-z0-9])(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
    "|(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])(?=[A-Za-z0-9])"
)


_PARTICLE = re.compile("(?<=[A-Z]) ?(?:가|이|은|는|が|를|을|로|으로|を)(?= |$)")
_COMPARED = re.compile("([A-Z]) ?(?:보다|より)")
_REPEATED = re.compile(r"\bis(?:\s+is\b)+")


def in_english(text: str) -> str:
    """The text with the words that declare, deny or join answers in English."""
    if not text.isascii() and _SCRIPTS.search(text):
        text = _COMPARED.sub(r" instead of \1, ", text)
        text = _PHRASE.sub(lambda match: f" {PHRASES[match[0]]} ", text)
        text = _PARTICLE.sub(" is ", _BORDER.sub(" ", text))
        text = _REPEATED.sub("is", text)
    if sign := _SIGN.search(text.lower()):
        words = WORDS[sign.lastgroup or ""]
        text = _words_pattern(sign.lastgroup or "").sub(lambda match: words[match[0].lower()], text)
    return text


@cache
def _words_pattern(language: str) -> re.Pattern[str]:
    words = sorted(WORDS[language], key=len, reverse=True)
    # A capital alone is an option, even where it is also a word: "O", "A", "E".
    alternatives = "|".join(rf"(?-i:{re.escape(word)})" if len(word) == 1 else re.escape(word) for word in words)
    return re.compile(rf"(?<![\w'])(?:{alternatives})(?![\w'])", re.IGNORECASE)
