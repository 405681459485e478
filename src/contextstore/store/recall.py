"""Find the messages of a session that a query is about."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from contextstore._hop import call, reach
from contextstore.errors import ConfigurationError, EmbeddingError, InvalidInputError
from contextstore.retrieval.arithmetic import make_columns
from contextstore.retrieval.base import RetrievedItem, ScanningBackend
from contextstore.retrieval.dense import DenseScan
from contextstore.retrieval.documents import Document
from contextstore.retrieval.hybrid import (
    HybridQuery,
    Ranked,
    nearest_by_age,
    scan_backend,
)
from contextstore.retrieval.upkeep import VectorUpkeep
from contextstore.retrieval.weights import RetrievalWeights
from contextstore.store.indexes import IndexedSession

__all__ = ["MODES", "Recall", "validate_mode"]

_logger = logging.getLogger("contextstore")

MODES = ("hybrid", "dense", "lexical")
# Ranking so many messages takes about a millisecond; more of them leave the event loop
# to others.
_INLINE_MESSAGES = 1_500


def validate_mode(mode: Any) -> str:
    """Return how to rank: ``hybrid``, ``dense`` or ``lexical``.

    Raises:
        InvalidInputError: it is none of these.
    """
    if mode not in MODES:
        raise InvalidInputError(
            f"mode is {mode!r}; choose one of {', '.join(MODES)}", path="mode"
        )
    return str(mode)


class Recall:
    """Rank the messages of sessions by words and meaning.

    Args:
        weights: the constants of the rule.
        auto_embed: whether vectors are kept to the texts of the messages; if not, a
            message may have been embedded by another text, which is then its own.
    """

    def __init__(self, weights: RetrievalWeights, *, auto_embed: bool) -> None:
        self._weights = weights
        self._auto_embed = auto_embed

    async def find(
        self,
        session_id: str,
        session: IndexedSession,
        query: str,
        k: int,
        mode: str,
        upkeep: Optional[VectorUpkeep],
    ) -> List[RetrievedItem]:
        """Return the ``k`` best messages.

        Args:
            session: what is searched of the session, up to date.
            upkeep: the vectors and what makes them; None where there are none.
        """
        if mode == "dense":
            return await self._by_cosine(session, session_id, query, k, upkeep)
        scan = None
        if mode == "hybrid" and upkeep is not None and upkeep.embeds:
            scan = await self._scan(session, session_id, query, upkeep)
        found = await self._ranked(session, query, k, scan)
        ids = [ranked.message_id for ranked, _ in found]
        stored = await self._stored_metadata(session_id, ids, upkeep)
        return [
            RetrievedItem(
                ranked.message_id,
                ranked.score,
                self._described(stored.get(ranked.message_id, {}), text),
                ranked.cosine,
                ranked.lexical,
            )
            for ranked, text in found
        ]

    def _described(
        self, kept: Mapping[str, Any], text: Optional[str]
    ) -> Dict[str, Any]:
        """Return the metadata of a result: what is kept with the vector, and the text.

        Vectors that are to follow the texts may be behind: the text is that of now.
        """
        if text is None:
            return dict(kept)
        return {**kept, "text": text} if self._auto_embed else {"text": text, **kept}

    async def find_across(
        self,
        sessions: Mapping[str, IndexedSession],
        query: str,
        k: int,
        upkeep: Optional[VectorUpkeep],
    ) -> List[RetrievedItem]:
        """Return the ``k`` best messages of several sessions.

        The best of each session by the rule are compared across them by what can be:
        the cosine where all have one, else the share of the query's words.
        """
        found: List[RetrievedItem] = []
        for session_id, session in sessions.items():
            best = await self.find(session_id, session, query, k, "hybrid", upkeep)
            found += [replace(item, session_id=session_id) for item in best]
        pool = make_columns()
        dense = pool.standardised(pool.of([item.cosine or 0.0 for item in found]))
        words = pool.standardised(pool.of([item.lexical or 0.0 for item in found]))
        weights = self._weights
        score = pool.rounded(
            pool.plus(
                pool.scaled(dense, weights.dense_weight),
                pool.scaled(words, weights.lexical_weight),
            )
        )
        values = pool.list_of(score)
        return [
            replace(found[place], score=values[place])
            for place in pool.ranked(score, k)
        ]

    async def _by_cosine(
        self,
        session: IndexedSession,
        session_id: str,
        query: str,
        k: int,
        upkeep: Optional[VectorUpkeep],
    ) -> List[RetrievedItem]:
        if upkeep is None or not upkeep.embeds:
            raise ConfigurationError(
                "mode='dense' needs a retrieval backend and an embedding function: "
                "SessionStore(memory, retrieval, SessionStoreConfig(embed_fn=...))"
            )
        vector = await upkeep.embed_query(query)
        try:
            found = await nearest_by_age(
                partial(upkeep.nearest, session_id), vector, k, _places_in(session)
            )
        except InvalidInputError as error:
            raise EmbeddingError(
                f"the vector of the query does not fit those of the session: {error}",
                session_id=session_id,
            ) from error
        with session.lock:
            words = HybridQuery(session.index, query, self._weights)
            return [
                RetrievedItem(
                    item.message_id,
                    item.score,
                    self._described(item.metadata, session.text_of(item.message_id)),
                    item.score,
                    words.lexical_of(item.message_id),
                )
                for item in found
            ]

    async def _scan(
        self,
        session: IndexedSession,
        session_id: str,
        query: str,
        upkeep: VectorUpkeep,
    ) -> Optional[DenseScan]:
        """Return what the vectors say; None where the query could not be embedded."""
        try:
            return await self._scan_by(
                session, session_id, query, await upkeep.embed_query(query), upkeep
            )
        except (EmbeddingError, InvalidInputError) as error:
            # The latter is of a function whose vectors have another dimension now.
            _logger.warning("the query is ranked by its words alone: %s", error)
            return None

    async def _scan_by(
        self,
        session: IndexedSession,
        session_id: str,
        query: str,
        vector: List[float],
        upkeep: VectorUpkeep,
    ) -> Optional[DenseScan]:
        """Return what the vectors say of that of a query."""
        store, weights = upkeep.backend, self._weights
        if not isinstance(store, ScanningBackend):
            return await self._scan_best(session, session_id, vector, upkeep)
        pool: Optional[int] = None
        also: Sequence[str] = ()
        with session.lock:
            if len(session.index) > weights.full_scan:
                asked = HybridQuery(session.index, query, weights)
                pool, also = weights.pool, asked.best_by_words()
        scan = await reach(
            store, store.scan(session_id, vector, weights.centring, pool, also)
        )
        ids = () if scan is None else scan.ids
        await self._let_go_of_strays(session, session_id, store, ids)
        await self._take_in_strays(session, session_id, store, ids)
        return scan

    async def _scan_best(
        self,
        session: IndexedSession,
        session_id: str,
        vector: List[float],
        upkeep: VectorUpkeep,
    ) -> Optional[DenseScan]:
        """Return what a backend says of its best, as it scores nothing else."""
        with session.lock:
            texts = session.texts()
        return await scan_backend(
            partial(upkeep.nearest, session_id),
            vector,
            self._weights,
            _places_in(session),
            upkeep.sum_of(session_id, texts),
        )

    async def _let_go_of_strays(
        self,
        session: IndexedSession,
        session_id: str,
        store: ScanningBackend,
        scanned: Tuple[str, ...],
    ) -> None:
        """Forget what was no message, and has no vector any more either."""
        with session.lock:
            doubtful = session.strays_beside(scanned)
        if not doubtful:
            return
        stored = await reach(store, store.metadata_of(session_id, doubtful))
        with session.lock:
            session.drop_strays([one for one in doubtful if one not in stored])

    async def _take_in_strays(
        self,
        session: IndexedSession,
        session_id: str,
        store: ScanningBackend,
        scanned: Tuple[str, ...],
    ) -> None:
        """Index what has a vector but is no message, by the text kept with it."""
        with session.lock:
            strays = session.unknown(scanned)
        if not strays:
            return
        stored = await reach(store, store.metadata_of(session_id, strays))
        with session.lock:
            session.add_strays(
                [
                    Document(message_id, str(stored[message_id].get("text", "")))
                    for message_id in strays
                    if message_id in stored
                ]
            )

    async def _ranked(
        self,
        session: IndexedSession,
        query: str,
        k: int,
        scan: Optional[DenseScan],
    ) -> List[Tuple[Ranked, str]]:
        """Return the best messages and their texts."""
        pooled = scan is not None and scan.elsewhere is not None

        def rank() -> List[Tuple[Ranked, str]]:
            with session.lock:
                asked = HybridQuery(session.index, query, self._weights, pooled=pooled)
                documents = session.index.documents
                return [(one, documents[one.row].text) for one in asked.rank(k, scan)]

        if len(session.index) <= _INLINE_MESSAGES:
            return rank()
        return await call(rank)

    async def _stored_metadata(
        self, session_id: str, ids: Sequence[str], upkeep: Optional[VectorUpkeep]
    ) -> Dict[str, Dict[str, Any]]:
        store = None if upkeep is None else upkeep.backend
        if not isinstance(store, ScanningBackend):
            return {}
        return await reach(store, store.metadata_of(session_id, ids))


def _places_in(session: IndexedSession) -> Callable[[str], Tuple[int, str]]:
    def place_of(message_id: str) -> Tuple[int, str]:
        with session.lock:
            return session.place_of(message_id)

    return place_of
