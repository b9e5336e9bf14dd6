"""Reading a question: is it for a summary, how long, about which page, or is it about the conversation itself."""

from __future__ import annotations

import re

from .language import NUMBER_WORDS, number, terms
from .summarise import Wanted

SUMMARY = re.compile(
    r"summar|\btl;?dr\b|\bsum(?:ming)? (?:\w+ )?up\b|\boverview\b|\bgist\b|\b(?:key|main) (?:points?|ideas?|findings|takeaways)\b|\bin a nutshell\b"
    r"|\bcondense|\bbrief me\b|\brecap\b|\bsynopsis\b|\bdigest\b"
    r"|zusammenfass|\bfass\w*\b.*\bzusammen|kurzfassung|überblick|kernaussage|hauptpunkt|wichtigsten punkte|inhaltsangabe"
    r"|résum|\bresum|synthès|points[ -]clés|grandes lignes|idées principales"
    r"|\bresúm|síntesis|sintetiza|puntos clave|ideas principales|riassum|samenvat|резюм|кратк\w+ содержан|обобщ"
    r"|总结|總結|摘要|概括|概述|归纳|歸納|要点|要點|概要|大意|主要内容|主要內容|中心思想|梗概"
    r"|要約|まとめ|サマリー|要旨|あらすじ|요약|정리해|개요|간추|핵심\s*내용|줄거리",
    re.IGNORECASE,
)
ABOUT = re.compile(
    r"what(?:'s| is| are| does)? (?:this|it|that|the) ?(?:\w+ ){0,3}(?:all )?about\W*$|worum (?:geht|handelt)|was steht (?:in|da)|de quoi (?:parle|s'agit|traite)"
    r"|de qué (?:trata|va|habla)|讲(?:了)?(?:什么|些什么)|講(?:了)?(?:什麼|些什麼)|关于什么|關於什麼|何について(?:の|書)|どんな内容|무엇에 (?:관|대)|무슨 내용|어떤 내용",
    re.IGNORECASE,
)
COMPARISON = re.compile(r"^\W*(?:compare|vergleiche?|comparez?|compara)\b|^\W*比[较較]", re.IGNORECASE)
SHORT = re.compile(
    r"\b(?:short(?:er|ly)?|brief(?:ly)?|concise(?:ly)?|quick|tl;?dr|kurz\w*|knapp\w*|bref|brève(?:ment)?|court\w*|breve\w*|corto|conciso)\b"
    r"|简短|簡短|简要|簡要|简洁|簡潔|短く|短めに|手短|짧게|간단|간략",
    re.IGNORECASE,
)
DETAILED = re.compile(
    r"\b(?:detail\w*|chapter by chapter|long(?:er)?|thorough\w*|comprehensive\w*|in depth|in-depth|extensive\w*|ausführlich\w*|länger\w*|détaillé\w*|approfondi\w*"
    r"|detallad\w*|extens\w*|exhaustiv\w*)\b|详细|詳細|详尽|詳盡|詳しく|자세|상세",
    re.IGNORECASE,
)
_NUMBERS = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
# Latin words stand apart; digits and CJK numerals follow their verb directly. "一点" is "a little", not one point.
_COUNT = rf"(?!一[点點])((?<![\d.])\d{{1,2}}|(?<![a-zà-ÿ])(?:{_NUMBERS}))"
_SENTENCES = re.compile(
    _COUNT
    + r"\s*-?\s*(?:(?:short|kurzen?|wichtigsten|key)\s+)?(?:sentences?|sätzen?|phrases?|oraciones|oración|frases?|句|文|문장)",
    re.IGNORECASE,
)
_POINTS = re.compile(
    _COUNT
    + r"\s*-?\s*(?:(?:short|key|main|wichtigsten|wichtige)\s+)?(?:bullet(?:s| points?)?|points?|stichpunkten?|punkten?|puntos?|ideas|takeaways|个要点|個要點|点|點|条|條|つ|가지)",
    re.IGNORECASE,
)
_PARAGRAPH = re.compile(
    r"\b(?:one|a|single|1|ein(?:en|em)?|un|une)[ -](?:single |short |kurzen |court )?(?:paragraph|absatz|paragraphe|párrafo)|[一1]段|一段落|1段落|한\s*(?:문단|단락)",
    re.IGNORECASE,
)
_WORDS = re.compile(r"(\d{2,4})\s*-?\s*(?:words?|wörtern?|worten|mots|palabras)", re.IGNORECASE)
_PAGE = re.compile(
    r"\b(?:page|p\.|seite|página|pág\.)\s*(\d{1,4})\b|第\s*(\d{1,4})\s*[页頁ペ]|(\d{1,4})\s*(?:ページ|쪽|페이지)",
    re.IGNORECASE,
)
_NOTES = re.compile(
    r"^(?:take notes on these pages|condense these notes)\b[^.\n]*?\bat most (\d{1,5}) words", re.IGNORECASE
)
_NAMED = re.compile("“[^”\n]*”")
PAGE_COUNT = re.compile(
    r"how many pages|number of pages|page count|wie\s?viele seiten|combien de pages|cuántas páginas|多少[页頁]|[几幾][页頁]|何ページ|몇\s*(?:쪽|페이지)",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"[?？]|^\W*(?:who|what|when|where|why|which|how|is|are|was|were|does|do|did|can|could|explain|describe|define|find|list|quote|compare|name|tell|search|look"
    r"|wer|was|wann|wo|warum|wieso|welche\w*|wie|ist|sind|gibt|erkläre?|beschreibe?|nenne?|finde|suche"
    r"|qui|que|quoi|quand|où|pourquoi|quel\w*|comment|est-ce|explique|décris|trouve|cite|cherche"
    r"|quién\w*|qué|cuándo|dónde|por qué|cuál\w*|cómo|explica|describe|encuentra|busca)\b"
    r"|什么|什麼|怎么|怎麼|如何|为什么|為什麼|哪|谁|誰|几|多少|吗|嗎|呢|解释|解釋|说明|說明|查找|列出"
    r"|何|なぜ|いつ|どこ|だれ|どう|どの|ですか|ますか|教えて|説明|か。|무엇|뭐|왜|언제|어디|누구|어떻게|어떤|까\b|나요|설명|알려|찾아",
    re.IGNORECASE,
)
REPEAT = re.compile(
    r"^\s*(?:please\s+)?(?:repeat after me|repeat exactly|repeat this|repeat|say exactly|say|echo|sprich mir nach|wiederhole|répète(?:z)?(?: après moi)?"
    r"|repite(?: después de mí)?|跟我(?:说|說|念|读)|重复|重複|復唱して|繰り返して|따라\s*(?:해|말해)(?:\s*봐)?)\s*[:：]\s*(.+)$",
    re.IGNORECASE | re.DOTALL,
)
FIRST_QUESTION = re.compile(
    r"\b(?:what|which)\b.*\b(?:did i (?:say|ask|write|want)|was my|were my)\b.*\bfirst\b|\b(?:what|which)\b.*\bmy (?:very )?first (?:question|message)\b"
    r"|what did i (?:say|ask)(?: \w+){0,2} first|erste (?:frage|nachricht)|première (?:question|demande)|primera pregunta"
    r"|第一个问题|第一個問題|最先.*(?:问|問|说|說)|最初の(?:質問|メッセージ)|첫\s*(?:번째)?\s*질문",
    re.IGNORECASE | re.DOTALL,
)
LAST_QUESTION = re.compile(
    r"\bwhat\b.*\b(?:did i (?:just )?(?:say|ask)|was my (?:last|previous) (?:question|message))\b|letzte (?:frage|nachricht)|dernière question"
    r"|última pregunta|上一个问题|上一個問題|刚才.*问|剛才.*問|前の質問|지난 질문|방금.*질문",
    re.IGNORECASE | re.DOTALL,
)
LAST_ANSWER = re.compile(
    r"\bwhat did you (?:just )?(?:say|answer|tell me)|your (?:last|previous) answer|was hast du (?:gerade )?gesagt|qu'as-tu dit|qué dijiste|你(?:刚才)?说了什么|さっき何と|뭐라고 했",
    re.IGNORECASE,
)
SO_FAR = re.compile(
    r"(?:list|show|what|which|summari[sz]e|recap)\b.*\b(?:have i asked|did i ask(?: you)?(?: so far)?|(?:our|this|the) (?:conversation|chat)|my questions)\b"
    r"|unser\w* (?:gespräch|unterhaltung)|notre conversation|nuestra conversación|我们的对话|我們的對話|これまでの(?:会話|質問)|우리 대화",
    re.IGNORECASE | re.DOTALL,
)
GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|hallo|guten (?:tag|morgen|abend)|servus|moin|bonjour|salut|bonsoir|hola|buenos días|buenas"
    r"|你好|您好|嗨|早上好|こんにちは|こんばんは|おはよう|やあ|안녕\w*)(?:\s+(?:there|all|everyone|zusammen|à tous|a todos))?\W*$",
    re.IGNORECASE,
)
THANKS = re.compile(
    r"^\W*(?:(?:many )?thanks?(?: you)?|thx|danke\w*|vielen dank|merci|gracias|谢谢|謝謝|多谢|ありがとう\w*|감사\w*|고마워\w*)(?:\s+(?:a lot|very much|so much|schön|beaucoup|bien|muchas))?\W*$",
    re.IGNORECASE,
)
ABILITIES = re.compile(
    r"(?:what can you (?:do|help)|who are you|what are you|help me\W*$|^\W*help\W*$|how do you work|which model|what model|was kannst du|wer bist du|que (?:peux|sais)-tu"
    r"|qui es-tu|qué puedes hacer|quién eres|你(?:能|会|會)(?:做|干)什么|你(?:能|會)做什麼|你是谁|你是誰|何ができ|あなたは(?:誰|だれ)|무엇을 할 수|누구(?:야|세요))",
    re.IGNORECASE,
)
IMAGE = re.compile(
    r"\b(?:image|picture|photo|screenshot|drawing|colou?rs?|pixels?|resolution|bild\w*|foto\w*|farben?|couleurs?|imagen|colores)\b|图|圖|照片|颜色|顏色"
    r"|画像|写真|色|사진|그림|이미지|색",
    re.IGNORECASE,
)
_FACT = re.compile(
    r"^\W*(?:please )?(?:remember(?: that)?:? )?my [\w ’'-]{2,40}? (?:is|are|was) [^?]{1,120}$", re.IGNORECASE
)
_MY = re.compile(
    r"\b(?:what(?:'s| is| was| are)|do you (?:know|remember)|tell me) my ([\w ’'-]{2,40}?)\s*[?.!]*\s*$", re.IGNORECASE
)
_NAME_ASKED = re.compile(
    r"what(?:'s| is) my name|who am i\b|wie heiße ich|comment je m'appelle|cómo me llamo|我(?:叫|的名字是)什么|我(?:叫|的名字是)什麼|私の名前は(?:何|なん)|내 이름이?\s*(?:뭐|무엇)",
    re.IGNORECASE,
)
_NAME_TOLD = re.compile(
    r"(?:\bmy name is|\bi am called|\bcall me|\bich heiße|\bmein name ist|\bje m'appelle|\bme llamo|\bmi nombre es|我叫|我的名字是|私の名前は|내 이름은)\s*[^.!?\n。！？]{1,60}",
    re.IGNORECASE,
)


def is_summary(question: str) -> bool:
    """Whether a summary is asked for, also by "shorter, please" after another summary."""
    if SUMMARY.search(question) or ABOUT.search(question):
        return True
    lengths = (SHORT, DETAILED, _SENTENCES, _POINTS, _PARAGRAPH, _WORDS)
    length = any(pattern.search(question) for pattern in lengths)
    return length and len(terms(question)) <= 4 and not re.search(r"[?？]", question)


def is_question(text: str) -> bool:
    return bool(_ASKS.search(text))


def notes_wanted(question: str) -> int | None:
    """In how many words notes are wanted, on a part of what is to be summarized; None for any other wish."""
    match = _NOTES.match(question)
    return int(match[1]) if match else None


def wanted_summary(question: str) -> Wanted:
    question = _NAMED.sub("", question)  # what a file is called says nothing about its summary
    page = page_of(question)
    if match := _WORDS.search(question):
        return Wanted(gist=0, max_words=int(match[1]), shape="paragraph", page=page)
    if match := _POINTS.search(question):
        return Wanted(gist=0, points=number(match[1]) or 3, page=page)
    if match := _SENTENCES.search(question):
        return Wanted(gist=0, points=number(match[1]) or 3, shape="paragraph", page=page)
    if _PARAGRAPH.search(question):
        return Wanted(gist=0, points=5, shape="paragraph", page=page)
    if SHORT.search(question):
        return Wanted(gist=1, points=3, page=page)
    return Wanted(detailed=bool(DETAILED.search(question)), page=page)


def page_of(question: str) -> int | None:
    match = _PAGE.search(question)
    return int(next(group for group in match.groups() if group)) if match else None


def is_fact(text: str) -> bool:
    """Whether the person tells something about themselves that can be asked for later."""
    return len(text) < 300 and not re.search(r"[?？]", text) and bool(_FACT.match(text) or _NAME_TOLD.search(text))


def remembered(question: str, earlier: list[str]) -> str | None:
    """What the person said before about what they ask of themselves: "what is my name?", "what is my favourite colour?"."""
    if _NAME_ASKED.search(question):
        told = [match[0] for text in earlier for match in _NAME_TOLD.finditer(text)]
        return told[-1].strip() if told else None
    match = _MY.search(question)
    if match is None:
        return None
    thing = r"\s+".join(re.escape(word) for word in match[1].split())
    pattern = re.compile(rf"\bmy {thing}(?: is| are| was|:)\s+[^.!?\n]{{1,120}}", re.IGNORECASE)
    told = [found[0] for text in earlier for found in pattern.finditer(text)]
    return told[-1].strip() if told else None
