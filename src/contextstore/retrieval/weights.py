"""Hold every constant of the rule that ranks messages."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from contextstore.errors import ConfigurationError

__all__ = ["RetrievalWeights"]


@dataclass(frozen=True)
class RetrievalWeights:
    """Hold the constants of the hybrid rule.

    The defaults were chosen on one half of four public sets of conversations (LoCoMo
    and REALTALK, between people; BEAM of 100 and of 500 thousand tokens, with an
    assistant) and checked on the other half. "Gains" below is what the other half loses
    in recall among the first ten when the part is taken out, in points of a hundred, in
    that order.

    The maximum is flat: on the halves they were chosen on, ``dense_weight`` of 0.65 to
    0.75, ``long_weight`` of 0.15 to 0.5, ``date_weight`` of 2 to 4, ``speaker_weight``
    of 1 to 2.5, ``user_weight`` up to 1 and ``window_weight`` of 0.2 to 0.3 each stay
    within 0.3 points. Setting a weight to 0 takes its part out.

    A float is between minus a million and a million.

    An application that asks for what the assistant said sets ``user_weight``,
    ``long_weight`` and ``short_weight`` to 0.

    Attributes:
        dense_weight: weight of the standardised cosine. 0.6 and 0.8 lose up to 2.4.
        lexical_weight: weight of the standardised score of words. Without vectors the
            words take over the weight of both.
        centring: the part of the mean vector taken out of every vector. Texts of one
            conversation resemble each other; what is left tells them apart. Gains
            0.5, 1.4, 2.6, -0.1.
        term_saturation: ``k1`` of BM25.
        length_normalisation: ``b`` of BM25.
        term_bonus: ``delta`` of BM25+, what a shared word counts at least. Gains up to
            0.4, and 1 in the rank of the first hit.
        neighbour_share: the part of its word and phrase scores that a message lends
            to the one before and after it: an answer need not repeat the words of
            its question. Gains 2.7, 2.3, 0.5, -0.1.
        phrase_weight: weight of the standardised score of word pairs that stand side
            by side in both. Gains -0.3, -1.0, 0.2, 3.2.
        long_weight: taken off for each factor of e by which a message is longer than
            ``long_from`` characters: long answers touch many subjects. Gains
            0, 0, 2.8, 1.5.
        long_from: characters from which a message is long.
        short_weight: taken off for each factor of e by which a message is shorter than
            ``short_from`` characters: "Thanks!" says little. Gains 0.9, 0.7, -0.5, 0.
        short_from: characters below which a message is short.
        short_until: characters below which it counts as no shorter.
        user_weight: added to messages of the user where all roles are those of a chat
            with an assistant: people mostly ask for what they said. Gains
            0, 0, 1.3, 1.6.
        speaker_weight: added to the messages of the one participant whose first name
            is in the query. Gains 1.5, 0.5, 0, 0.
        date_weight: added to messages of a time that the query names. Gains
            2.3, 0.6, 0, 0.
        date_days: messages of so many days after a named day count too, fading.
        date_fade: days over which that would fade to nothing.
        window_weight: weight of the mean of the ``window_best`` best scores within
            ``window_reach`` messages to either side, its own among them. Gains
            1.6, 1.3, -0.2, -0.3; it takes half of the time.
        window_reach: messages looked at to either side; as many as there are, at most.
        window_best: scores that the mean is of, at most 100.
        full_scan: up to so many messages the rule runs over all of them.
        pool: beyond that, and with a backend that only returns its best, it runs over
            the best so many by vectors and the best so many by words. 200 are no
            better than 100.
    """

    dense_weight: float = 0.7
    lexical_weight: float = 0.3
    centring: float = 0.85
    term_saturation: float = 1.2
    length_normalisation: float = 0.75
    term_bonus: float = 1.0
    neighbour_share: float = 0.4
    phrase_weight: float = 0.1
    long_weight: float = 0.25
    long_from: int = 500
    short_weight: float = 0.5
    short_from: int = 100
    short_until: int = 10
    user_weight: float = 0.3
    speaker_weight: float = 1.0
    date_weight: float = 2.0
    date_days: int = 7
    date_fade: int = 9
    window_weight: float = 0.2
    window_reach: int = 8
    window_best: int = 3
    full_scan: int = 10_000
    pool: int = 100

    def __post_init__(self) -> None:
        """Refuse what the rule cannot be computed with.

        Raises:
            ConfigurationError: naming the constant.
        """
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if not _is_number(value) or (kind is int and not isinstance(value, int)):
                raise _refused(field.name, f"a finite {kind.__name__}")
            if field.name in _SHARES and not 0 <= value <= 1:
                raise _refused(field.name, "from 0 to 1")
            if kind is float and abs(value) > _LARGEST:
                raise _refused(field.name, f"from -{_LARGEST:,} to {_LARGEST:,}")
            least = 0 if field.name in _MAY_BE_NONE else 1
            if kind is int and value < least:
                raise _refused(field.name, f"{least} or more")
            if field.name == "window_best" and value > _MOST_IN_WINDOW:
                raise _refused(field.name, f"{_MOST_IN_WINDOW} or less")


_SHARES = frozenset({"centring", "length_normalisation"})
_MAY_BE_NONE = frozenset({"date_days", "window_reach", "full_scan"})
# Products of three weights, and sums of them, stay far from what a float can hold.
_LARGEST = 1_000_000
# So many columns as long as the session are held at once.
_MOST_IN_WINDOW = 100


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return is_real and math.isfinite(value)
    except OverflowError:
        # An int that no float can hold.
        return False


def _refused(name: str, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"RetrievalWeights: {name} has to be {wanted}")
