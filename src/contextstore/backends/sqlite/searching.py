"""Search the words of messages: bring the index up to date, then ask it."""

from __future__ import annotations

import sqlite3
from typing import Callable, List, NamedTuple, Optional

from contextstore import messages
from contextstore.backends.filters import Filter
from contextstore.backends.place import Place
from contextstore.backends.results import TextMatch
from contextstore.backends.sqlite import text_index
from contextstore.backends.sqlite.engine import Engine
from contextstore.errors import CorruptDataError


class Search(NamedTuple):
    """Be one search.

    Attributes:
        location: the file, for the texts of errors.
        query: the words.
        session_id: the session to look into; None for all.
        wanted: which sessions to look into.
        limit: how many matches at most.
    """

    location: str
    query: str
    session_id: Optional[str]
    wanted: Filter
    limit: int

    async def run(self, engine: Engine) -> List[TextMatch]:
        """Return what fits best, the older message first where two fit as well."""
        query = messages.validate_text(self.query, "query")
        expression = text_index.expression_of(query)
        if self.session_id is not None:
            messages.validate_session_id(self.session_id)
        try:
            return await self._answer(engine, expression)
        except CorruptDataError:
            # The index is derived: made anew, it answers if the messages are sound.
            await engine.writer.submit(text_index.discard)
            return await self._answer(engine, expression)

    async def _answer(self, engine: Engine, expression: str) -> List[TextMatch]:
        if await engine.readers.fetch(text_index.is_behind, snapshot=True):
            while await engine.writer.submit(text_index.extend):
                pass
        found = await engine.readers.fetch(self._ask(expression))
        return [self._match(*row) for row in found]

    def _ask(
        self, expression: str
    ) -> Callable[[sqlite3.Connection], List[text_index.Found]]:
        def ask(connection: sqlite3.Connection) -> List[text_index.Found]:
            return text_index.search(
                connection,
                expression,
                self.session_id,
                self.wanted.range(),
                self.limit,
            )

        return ask

    def _match(
        self,
        session_id: str,
        position: int,
        checksum: int,
        body: bytes,
        message_id: str,
        score: float,
    ) -> TextMatch:
        place = Place(self.location, session_id)
        place.check(place.base(), position, checksum, body)
        return TextMatch(session_id, message_id, score, messages.decode(body))
