from __future__ import annotations

import sys
import unicodedata
from typing import Dict, List, Tuple

import pytest

from contextstore.context import estimator
from contextstore.context.estimator import estimate, estimator_for
from contextstore.context.tokenizers import tokenizer_from_name

# Written for these tests; none of it was fitted.
ENGLISH = (
    "We moved the meeting to Thursday because half of the team is away until then. "
    "Please bring the figures for last month, and tell Maria that the second invoice "
    "has not been paid yet. If you can't come, send me a short note by noon; I'd like "
    "to know what you think about the new plan before we decide anything."
)
GERMAN = (
    "Wir haben das Treffen auf Donnerstag verschoben, weil die Hälfte der Gruppe bis "
    "dahin nicht im Haus ist. Bitte bringen Sie die Zahlen des letzten Monats mit und "
    "sagen Sie Maria, dass die zweite Rechnung noch nicht bezahlt ist."
)
SPANISH = (
    "Hemos pasado la reunión al jueves porque la mitad del equipo no está hasta "
    "entonces. Por favor, trae las cifras del mes pasado y dile a María que la segunda "
    "factura todavía no se ha pagado."
)
POLISH = (
    "Przenieśliśmy spotkanie na czwartek, ponieważ połowa zespołu jest do tego czasu "
    "nieobecna. Proszę przynieść dane z zeszłego miesiąca i powiedzieć Marii, że druga "
    "faktura nie została jeszcze zapłacona."
)
RUSSIAN = (
    "Мы перенесли встречу на четверг, потому что половина команды до этого времени "
    "отсутствует. Пожалуйста, принесите данные за прошлый месяц и скажите Марии, что "
    "второй счёт ещё не оплачен."
)
CHINESE = (
    "我们把会议改到星期四,因为在那之前有一半的人不在。请带上上个月的数字,"
    "并告诉玛丽亚第二张发票还没有付款。如果你不能来,请在中午之前给我留言。"
)
CODE = '''
def moving_average(values, width):
    """Return the mean of each window of the values."""
    if width < 1 or width > len(values):
        raise ValueError("width must be between 1 and %d" % len(values))
    total = sum(values[:width])
    result = [total / width]
    for i in range(width, len(values)):
        total += values[i] - values[i - width]
        result.append(total / width)
    return result
'''
JSON = '{"id": 4711, "name": "Maria", "tags": ["new", "paid"], "total": 1299.5}\n' * 4

TEXTS = [ENGLISH, GERMAN, SPANISH, POLISH, RUSSIAN, CHINESE, CODE, JSON]
NAMES = ["english", "german", "spanish", "polish", "russian", "chinese", "code", "json"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize("text", TEXTS, ids=NAMES)
def test_an_estimate_is_near_the_count(text: str, model: str) -> None:
    exact = tokenizer_from_name(model).count(text)
    encoding = {"gpt-4o": "o200k_base", "gpt-4": "cl100k_base"}[model]
    assert estimator_for(encoding)(text) == pytest.approx(exact, rel=0.25)


def test_estimates_of_all_kinds_of_text_are_near_on_average() -> None:
    exact = tokenizer_from_name("gpt-4o").count
    errors = [abs(estimate(text) / exact(text) - 1) for text in TEXTS]
    assert sum(errors) / len(errors) < 0.12


@pytest.mark.parametrize(
    "text",
    [
        "Γεια σας, τι κάνετε σήμερα;",
        "שלום לכולם, מה שלומכם",
        "مرحبا بكم جميعا في هذا اليوم",
        "سلام به همه، چطور هستید؟ گپ بزنیم",
        "Բարև բոլորին, ինչպես եք",
        "გამარჯობა ყველას, როგორ ხართ",
        "नमस्ते सभी को, आप कैसे हैं",
        "สวัสดีทุกคนเป็นอย่างไรบ้าง",
        "여러분 안녕하세요 어떻게 지내세요",
        "こんにちは、みなさんお元気ですか",
        "Вітаю всіх, як ваші справи? Її сім'я",
        "😀🎉🚀 👍 ✨",
        "— “quoted” … €5",
    ],
)
def test_every_script_has_a_price(text: str) -> None:
    for model, encoding in (("gpt-4o", "o200k_base"), ("gpt-4", "cl100k_base")):
        exact = tokenizer_from_name(model).count(text)
        assert 0.5 * exact <= estimator_for(encoding)(text) <= 2 * exact


def test_words_of_an_untold_language_cost_more_with_their_letters() -> None:
    assert estimate("łąka ćma źdźbło żółć") > estimate("laka cma zdzblo zolc")


def test_long_runs_and_coded_text_are_not_taken_for_little() -> None:
    coded: List[str] = [chr(65 + n * 7 % 26) + f"{n % 10}" + "xy" for n in range(500)]
    exact = tokenizer_from_name("gpt-4o").count
    for text in ("".join(coded), " " * 30_000, "\n" * 3_000, "=" * 900, "y" * 900):
        assert estimate(text) >= 0.5 * exact(text) - 5


def test_every_character_is_part_of_a_piece() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    # One blank before a word belongs to the word.
    assert estimator._PIECE.sub("", every) in ("", " ")


def one_of_each_kind() -> List[str]:
    """Return a character of each category of each block of Unicode."""
    kinds: Dict[Tuple[int, str], str] = {}
    for code in range(sys.maxunicode + 1):
        # Each of the first blocks; later ones are large and all of a kind.
        block = code if code < 0x250 else code >> (8 if code < 0x10000 else 12)
        kinds.setdefault((block, unicodedata.category(chr(code))), chr(code))
    return list(kinds.values())


def test_no_character_is_taken_for_little() -> None:
    exact = tokenizer_from_name("gpt-4o").count
    texts = [character * 1000 for character in one_of_each_kind()]
    cheap = [text[0] for text in texts if 3 * estimate(text) < exact(text)]
    assert cheap == []


def test_control_characters_cost_what_they_do() -> None:
    lines = "".join(
        f"\x1b[3{number % 8}m[ok]\x1b[0m step {number} passed in {number * 37}.0s\r\n"
        for number in range(200)
    )
    binary = "".join(chr(number % 32) for number in range(10_000))
    exact = tokenizer_from_name("gpt-4o").count
    words = "\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[0m " * 500
    for text in (lines, words, "\x1b" * 10_000, binary):
        assert estimate(text) == pytest.approx(exact(text), rel=0.25)
    assert estimate("\0" * 10_000) >= exact("\0" * 10_000)


def test_an_estimate_of_nothing_is_nothing() -> None:
    assert estimate("") == 0
    assert estimate("\ud800" * 10) > 0
