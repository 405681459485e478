"""Weigh the pieces of a text: the figures behind the estimator.

Fitted by least squares of the relative error, on passages of 1,000 characters, against
tiktoken's counts. Texts fitted: translations of Django and Sphinx in 95 languages, the
Python documentation, the collection of fortune, sources of the Python standard library,
scripts and templates of Django, JSON files. docs/context.md gives the errors on texts
that were not fitted. Scripts with no translation among these, Vietnamese, and languages
that are not told, were set by the Universal Declaration of Human Rights. Each pair is
for o200k_base and for cl100k_base.
"""

from __future__ import annotations

from typing import Dict, Tuple

Pair = Tuple[float, float]

# A word of Latin letters by its length; the last is for each letter beyond twelve.
WORD_LENGTHS: Tuple[Pair, ...] = (
    (0.89, 0.84),
    (1.00, 1.00),
    (1.00, 1.00),
    (1.00, 1.00),
    (1.00, 1.00),
    (1.05, 1.05),
    (1.10, 1.10),
    (1.20, 1.20),
    (1.30, 1.30),
    (1.50, 1.50),
    (1.70, 1.70),
    (1.90, 1.90),
)
LONGER_WORD: Pair = (0.40, 0.45)

# Pieces that are not letters of a script: each piece, and each character beyond four.
PIECES: Dict[str, Pair] = {
    "contraction": (0.20, 1.00),
    "part": (0.37, 0.26),
    "number": (1.41, 1.41),
    "line": (0.33, 0.26),
    "blank": (0.58, 0.56),
    "sign1": (0.91, 0.92),
    "sign2": (0.92, 1.01),
    "sign3": (1.24, 1.36),
    "sign4": (1.84, 1.75),
    "escape": (1.00, 1.00),
    "control": (1.00, 1.00),
    "other": (0.80, 0.80),
}
LONGER_SIGN: Pair = (0.06, 0.06)
# White space beyond sixteen characters; both vocabularies have tokens for long runs.
LONGER_BLANK: Pair = (0.06, 0.06)
# A character of something like base64, where no words are to be found.
CODED: Pair = (0.62, 0.66)
# A character of what colours the output of a terminal, beside the price of the piece.
ESCAPE: Pair = (0.70, 0.70)

# What each character costs more that stands at least sixteen times in a row: there are
# no words then, and few tokens for them. Letters that are not ASCII, and signs.
REPEATED: Tuple[Tuple[str, Pair], ...] = (
    ("\u00c0-\u1fff\u2460-\u24ff\u3040-\u318f\u4e00-\ud7af", (0.80, 0.40)),
    (r"\r\"$&'(),\[\\\]`{|}", (0.26, 0.30)),
)

# Characters that the vocabularies have no tokens for, but for their bytes: the means
# over all characters of these blocks.
RARE: Dict[str, Tuple[str, Pair, Pair]] = {
    "two": (
        "\x80-\x9f\u07c0-\u07ff\u1f00-\u1fff\u20c0-\u20ff\ufb00-\ufb4f\ufe70-\ufefc",
        (2.00, 2.60),
        (0.00, 0.00),
    ),
    "three": (
        "\u0800-\u08ff\u1100-\u11ff\u13a0-\u177f\u1800-\u1dff\u2400-\u243f\u27c0-\u2aff"
        "\u2c00-\u2fff\u3190-\u4dff\ua000-\uabff\ud7b0-\ud7ff\ue000-\ufaff"
        "\ufb50-\ufdff\U0001d000-\U0001efff\U0001fb00-\U0001ffff",
        (2.95, 2.98),
        (0.00, 0.00),
    ),
    "four": (
        "\U00010000-\U0001cfff\U00020000-\U0010ffff",
        (3.94, 3.96),
        (0.00, 0.00),
    ),
}

# Characters of a script, each character and each run of them.
SCRIPTS: Dict[str, Tuple[str, Pair, Pair]] = {
    "cyrillic": ("\u0400-\u052f", (0.28, 0.66), (0.50, 0.00)),
    "greek": ("\u0370-\u03ff", (0.36, 1.05), (0.17, 0.00)),
    "hebrew": ("\u0590-\u05ff", (0.44, 1.18), (0.00, 0.00)),
    "arabic": ("\u0600-\u077f", (0.31, 0.83), (0.00, 0.00)),
    "armenian": ("\u0530-\u058f", (0.29, 2.07), (0.50, 0.50)),
    "georgian": ("\u10a0-\u10ff", (0.37, 2.06), (0.00, 0.50)),
    "devanagari": ("\u0900-\u097f", (0.32, 1.06), (0.00, 0.50)),
    "thai": ("\u0e00-\u0e7f", (0.36, 0.92), (0.50, 0.50)),
    "hangul": ("\uac00-\ud7af", (0.52, 0.91), (0.45, 0.41)),
    "kana": ("\u3040-\u30ff", (0.54, 0.89), (0.19, 0.00)),
    "han": ("\u4e00-\u9fff", (0.75, 1.07), (0.50, 0.50)),
    "gurmukhi": ("\u0a00-\u0a7f", (0.50, 1.70), (0.00, 0.00)),
    "telugu": ("\u0c00-\u0c7f", (0.46, 1.70), (0.00, 0.00)),
    "sinhala": ("\u0d80-\u0dff", (0.55, 1.70), (0.00, 0.00)),
    # Bengali, Malayalam and Kannada were fitted; Gujarati and Tamil are like them.
    "indic": ("\u0980-\u09ff\u0a80-\u0bff\u0c80-\u0d7f", (0.37, 1.67), (0.00, 0.00)),
    "myanmar": ("\u1000-\u109f", (0.53, 1.70), (0.00, 0.00)),
    "tibetan": ("\u0f00-\u0fff", (1.50, 2.05), (0.00, 0.00)),
    "lao": ("\u0e80-\u0eff", (1.85, 2.15), (0.00, 0.00)),
    "ethiopic": ("\u1200-\u139f", (2.00, 2.50), (0.00, 0.00)),
    "khmer": ("\u1780-\u17ff", (0.60, 1.70), (0.00, 0.00)),
    "thaana": ("\u0780-\u07bf", (2.00, 2.00), (0.50, 0.50)),
    "emoji": (
        "\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff",
        (2.15, 2.71),
        (0.00, 0.00),
    ),
    **RARE,
}
# Russian, which the vocabularies know far better than other Cyrillic writing.
RUSSIAN: Tuple[Pair, Pair] = ((0.18, 0.36), (0.50, 0.50))
# What each letter costs more that Russian, or Arabic, does not have.
FOREIGN_CYRILLIC = "іїєґўөүқңғәһјљњћђџѓќѝѕҳӣӯҷӑӗҫӳҡҙӕ"
FOREIGN_ARABIC = "پچژگکیےںەۆېڭڕڵێھۇۈۋئ"
MORE_FOR_FOREIGN: Dict[str, Pair] = {"cyrillic": (0.40, 1.00), "arabic": (0.56, 0.90)}

# How much more the words of a language cost than English ones, and what tells it.
LANGUAGES: Dict[str, Tuple[Pair, str]] = {
    "af": ((1.34, 1.61), "die en nie is van het om te vir hierdie wat word"),
    "az": ((1.80, 2.89), "bir və bu üçün ilə deyil olan daha da çox"),
    "ca": (
        (1.32, 1.52),
        "els amb una per que aquest no està més són les del pot aquesta ha és",
    ),
    "cs": ((1.78, 2.38), "je se na že pro nebo není být jako tento musí by který"),
    "cy": ((1.56, 1.98), "yn mae yr wedi nid ar ac ei gan"),
    "da": ((1.38, 1.61), "og at ikke er det en af til på der som med kan skal du har"),
    "de": (
        (1.15, 1.42),
        "der die das und ist nicht ein eine mit für von den auf sich sie zu auch",
    ),
    "en": (
        (1.00, 1.00),
        "the of and to in is that it you for was on are with as be this have not what",
    ),
    "eo": ((1.63, 2.02), "la kaj estas de ne en al ke tiu mi por vi"),
    "es": (
        (1.07, 1.21),
        "el los las una que por con para es se del más está como pero sus este no de",
    ),
    "et": ((1.64, 2.15), "ja ei on see või et kui ka oma mis ole peab saab selle"),
    "eu": ((1.74, 2.11), "eta da ez bat izan du hau dira edo dute behar zure"),
    "fi": (
        (1.67, 2.19),
        "ja ei on se että tai ole olla kun tämä voi mutta hän jos ovat oli",
    ),
    "fr": (
        (1.11, 1.27),
        "le les des une est pour dans que qui pas sur au vous avec il par sont et du",
    ),
    "ga": ((1.60, 2.09), "an na ag ar tá do agus ní is le go sé"),
    "gl": (
        (1.26, 1.46),
        "unha para non os que do da esta se máis como pode ao este está",
    ),
    "hr": ((1.59, 2.03), "je se na za ne nije ili da su od može biti koji"),
    "hu": ((1.83, 2.25), "az és nem hogy egy meg ez van vagy kell csak mint is nincs"),
    "id": (
        (1.31, 1.62),
        "yang dan di tidak ini untuk dengan itu dari pada atau anda adalah",
    ),
    "is": ((1.62, 2.26), "að og ekki er það sem fyrir með hefur eða"),
    "it": (
        (1.23, 1.37),
        "il di che per una non con sono della gli questo più alla come nel essere si",
    ),
    "lt": ((2.03, 2.65), "ir yra kad ne arba su iš tai būti nėra kaip gali turi už"),
    "lv": ((1.99, 2.61), "ir un ne ka vai ar no nav uz lai par kas šis var tiek"),
    "nb": ((1.35, 1.58), "og ikke er det en av til på som med kan må du har for"),
    "nl": (
        (1.15, 1.47),
        "de het een van niet voor met zijn dat op deze aan is te wordt uw of en",
    ),
    "pl": ((1.71, 1.97), "się nie na jest że do dla lub jak to może przez być oraz"),
    "pt": (
        (1.12, 1.32),
        "não uma para com os que do da em você são por mais ao foi um seu sua",
    ),
    "ro": (
        (1.47, 1.68),
        "și nu să este pentru cu din la în că mai sunt care această fi un",
    ),
    "sk": ((1.84, 2.33), "je sa na že pre alebo nie byť ako tento musí by ktorý"),
    "sl": ((1.57, 2.01), "je in ne za se da na ali ni so kot lahko ki biti"),
    "sq": ((1.73, 2.12), "të për një është në që me dhe nuk si nga ose"),
    "sv": (
        (1.37, 1.58),
        "och att det inte är för en av som på till har ett den med kan",
    ),
    "sw": ((1.66, 2.23), "ya na wa kwa ni katika la za cha kuwa hii"),
    "tr": (
        (1.60, 2.18),
        "bir ve bu için değil ile olarak da veya daha çok olan gibi en",
    ),
    "uz": ((1.53, 2.01), "va bu uchun bilan emas bir yoki kerak ham bo"),
    "vi": ((1.30, 2.10), "là của và không có được các cho này một trong với đã người"),
}
# The same for a language that is not told: a base, and for each share of letters that
# are not of the English alphabet, up to the given share.
UNTOLD: Tuple[Pair, Pair] = ((1.23, 1.43), (4.76, 7.75))
UNTOLD_SHARE = 0.15
# The same for a text that has only English letters, but none of the English words.
UNTOLD_PLAIN: Pair = (1.60, 1.90)
