"""Backends that are wrong in one way each, with the test that has to see it."""

from __future__ import annotations

import asyncio
import copy
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Type

from contextstore import (
    ConflictError,
    InMemoryEmbeddingStore,
    InMemoryMemory,
    MemoryBackend,
    RetrievalBackend,
    RetrievedItem,
    WriteResult,
)
from tests.testing.backends import (
    DeletingDictRetrieval,
    DictBackend,
    DictRetrieval,
    Message,
)


class DropsTheRole(DictBackend):
    async def save_context(self, session_id: str, context: List[Message]) -> None:
        kept = [{k: v for k, v in m.items() if k != "role"} for m in context]
        await super().save_context(session_id, kept)


class MovesTheRole(DictBackend):
    """Does what contextstore 1.0.1 did."""

    async def save_context(self, session_id: str, context: List[Message]) -> None:
        kept = [
            {"id": m["id"], "content": {"data": m.get("content"), "role": m["role"]}}
            if "role" in m and "timestamp" not in m
            else m
            for m in context
        ]
        await super().save_context(session_id, kept)


class GivesOutItsOwnList(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        stored = self.sessions.get(session_id, [])
        return stored if k is None else stored[max(0, len(stored) - k) :]


class GivesOutItsOwnMessages(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        stored = self.sessions.get(session_id, [])
        return list(stored if k is None else stored[max(0, len(stored) - k) :])


class GivesOutShallowCopies(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        stored = self.sessions.get(session_id, [])
        kept = stored if k is None else stored[max(0, len(stored) - k) :]
        return [dict(message) for message in kept]


class KeepsTheCallersList(DictBackend):
    async def save_context(self, session_id: str, context: List[Message]) -> None:
        self.sessions[session_id] = context


class KeepsTheCallersMessages(DictBackend):
    async def append_context(self, session_id: str, context: List[Message]) -> None:
        self._existing(session_id).extend(context)


class StampsTheCallersMessages(DictBackend):
    async def save_context(self, session_id: str, context: List[Message]) -> None:
        for message in context:
            message.setdefault("timestamp", "now")
        await super().save_context(session_id, context)


class GivesOneTooMany(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        return await super().load_context(session_id, None if k is None else k + 1)


class GivesAllForZero(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        return await super().load_context(session_id, k or None)


class GivesTheOldest(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        return (await super().load_context(session_id))[:k]


class GivesTheNewestFirst(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        return (await super().load_context(session_id, k))[::-1]


class NeedsASessionToLoad(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        self._existing(session_id)
        return await super().load_context(session_id, k)


class MakesASessionByLoading(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        self.sessions.setdefault(session_id, [])
        return await super().load_context(session_id, k)


class AppendsOnSave(DictBackend):
    async def save_context(self, session_id: str, context: List[Message]) -> None:
        stored = self.sessions.setdefault(session_id, [])
        stored.extend(copy.deepcopy(context))


class SavesOnlyNewIds(DictBackend):
    """Takes a message with a known id for the stored one."""

    async def save_context(self, session_id: str, context: List[Message]) -> None:
        stored = {m["id"]: m for m in self.sessions.get(session_id, [])}
        await super().save_context(
            session_id, [stored.get(m["id"], m) if "id" in m else m for m in context]
        )


class KeepsNoEmptySession(DictBackend):
    async def save_context(self, session_id: str, context: List[Message]) -> None:
        if context:
            await super().save_context(session_id, context)
        else:
            self.sessions.pop(session_id, None)


class DropsAnEmptiedSession(DictBackend):
    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        await super().delete_interaction(session_id, interaction_id)
        if not self.sessions[session_id]:
            del self.sessions[session_id]


class MakesASessionByAppending(DictBackend):
    async def append_context(self, session_id: str, context: List[Message]) -> None:
        self.sessions.setdefault(session_id, [])
        await super().append_context(session_id, context)


class AppendsAtTheFront(DictBackend):
    async def append_context(self, session_id: str, context: List[Message]) -> None:
        self._existing(session_id)[:0] = copy.deepcopy(context)


class AppendsHalfABatch(DictBackend):
    async def append_context(self, session_id: str, context: List[Message]) -> None:
        await super().append_context(session_id, context[: (len(context) + 1) // 2])


class SwallowsErrors(DictBackend):
    async def append_context(self, session_id: str, context: List[Message]) -> None:
        try:
            await super().append_context(session_id, context)
        except ValueError:
            return


class RaisesAnotherError(DictBackend):
    async def delete_session(self, session_id: str) -> None:
        del self.sessions[session_id]


class DeletesInSilence(DictBackend):
    async def delete_session(self, session_id: str) -> None:
        self.sessions.pop(session_id, None)


class ForgetsToDelete(DictBackend):
    async def delete_session(self, session_id: str) -> None:
        self._existing(session_id).clear()


class KeepsTheMessageItself(DictBackend):
    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        stored = self._existing(session_id)
        ids = [message.get("id") for message in stored]
        if interaction_id not in ids:
            raise ValueError(interaction_id)
        del stored[ids.index(interaction_id) + 1 :]


class DeletesOnlyTheMessage(DictBackend):
    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        stored = self._existing(session_id)
        ids = [message.get("id") for message in stored]
        if interaction_id not in ids:
            raise ValueError(interaction_id)
        del stored[ids.index(interaction_id)]


class RewindsInSilence(DictBackend):
    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        try:
            await super().delete_interaction(session_id, interaction_id)
        except ValueError:
            return


class RewindsEverySession(DictBackend):
    async def delete_interaction(self, session_id: str, interaction_id: str) -> None:
        self._existing(session_id)
        await super().delete_interaction(session_id, interaction_id)
        for other in list(self.sessions):
            ids = [message["id"] for message in self.sessions[other]]
            if interaction_id in ids:
                del self.sessions[other][ids.index(interaction_id) :]


class MixesUpNames(DictBackend):
    """Names its sessions as some file systems and databases do."""

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        return await super().load_context(session_id.strip().lower(), k)

    async def save_context(self, session_id: str, context: List[Message]) -> None:
        await super().save_context(session_id.strip().lower(), context)

    async def append_context(self, session_id: str, context: List[Message]) -> None:
        await super().append_context(session_id.strip().lower(), context)


class CutsLongNames(DictBackend):
    async def save_context(self, session_id: str, context: List[Message]) -> None:
        await super().save_context(session_id[:255], context)


class BelongsToOneLoop(DictBackend):
    """Keeps a lock of the first event loop that it runs in."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: Any = None

    async def save_context(self, session_id: str, context: List[Message]) -> None:
        self.loop = asyncio.get_running_loop()
        await super().save_context(session_id, context)

    async def append_context(self, session_id: str, context: List[Message]) -> None:
        if asyncio.get_running_loop() is not self.loop:
            raise RuntimeError("attached to a different loop")
        await super().append_context(session_id, context)


class ReadsChangesAndWritesBack(DictBackend):
    """Loses what another task appended in between."""

    async def append_context(self, session_id: str, context: List[Message]) -> None:
        self._existing(session_id)
        stored = await self.load_context(session_id)
        await asyncio.sleep(0)
        await self.save_context(session_id, stored + context)


class WritesOneByOne(DictBackend):
    async def append_context(self, session_id: str, context: List[Message]) -> None:
        stored = self._existing(session_id)
        for message in context:
            stored.append(copy.deepcopy(message))
            await asyncio.sleep(0.001)


class TakesTrueForOne(DictBackend):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        loaded = await super().load_context(session_id, k)
        ones: List[Message] = _with_ones(loaded)
        return ones


def _with_ones(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_ones(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_ones(item) for item in value]
    return 1 if value is True else value


class TakesFloatsForIntegers(DictBackend):
    """Does what JavaScript does to integers beyond 2**53."""

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        floats: List[Message] = _with_floats(await super().load_context(session_id, k))
        return floats


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return int(float(value)) if type(value) is int else value


CONTRACT: Dict[Type[MemoryBackend], str] = {
    DropsTheRole: "test_what_is_saved_is_loaded",
    MovesTheRole: "test_role_and_content_stay_where_they_were",
    GivesOutItsOwnList: "test_what_comes_out_is_a_copy",
    GivesOutItsOwnMessages: "test_what_comes_out_is_a_copy",
    GivesOutShallowCopies: "test_what_comes_out_is_a_copy",
    KeepsTheCallersList: "test_what_goes_in_is_copied",
    KeepsTheCallersMessages: "test_what_goes_in_is_copied",
    StampsTheCallersMessages: "test_what_is_given_is_not_changed",
    GivesOneTooMany: "test_k_gives_the_newest_oldest_first",
    GivesAllForZero: "test_k_of_zero_gives_nothing",
    GivesTheOldest: "test_k_gives_the_newest_oldest_first",
    GivesTheNewestFirst: "test_what_is_saved_is_loaded",
    NeedsASessionToLoad: "test_a_session_that_is_not_there_is_empty",
    MakesASessionByLoading: "test_loading_makes_no_session",
    AppendsOnSave: "test_save_replaces",
    SavesOnlyNewIds: "test_save_keeps_a_changed_message",
    KeepsNoEmptySession: "test_saving_nothing_leaves_an_empty_session",
    DropsAnEmptiedSession: "test_deleting_the_first_leaves_a_session",
    MakesASessionByAppending: "test_append_needs_a_session",
    AppendsAtTheFront: "test_append_adds_at_the_end",
    AppendsHalfABatch: "test_append_adds_at_the_end",
    SwallowsErrors: "test_append_needs_a_session",
    RaisesAnotherError: "test_deleting_what_is_not_there_is_an_error",
    DeletesInSilence: "test_deleting_what_is_not_there_is_an_error",
    ForgetsToDelete: "test_a_deleted_session_is_gone",
    KeepsTheMessageItself: "test_deleting_a_message_takes_all_after_it",
    DeletesOnlyTheMessage: "test_deleting_a_message_takes_all_after_it",
    RewindsInSilence: "test_deleting_what_is_not_there_is_an_error",
    RewindsEverySession: "test_sessions_are_apart",
    MixesUpNames: "test_sessions_are_apart",
    CutsLongNames: "test_any_text_names_a_session",
    BelongsToOneLoop: "test_one_object_works_in_several_loops",
    ReadsChangesAndWritesBack: "test_tasks_of_several_loops_lose_nothing",
    WritesOneByOne: "test_a_batch_is_seen_whole_or_not_at_all",
    TakesTrueForOne: "test_any_json_object_comes_back_as_it_was",
    TakesFloatsForIntegers: "test_any_json_object_comes_back_as_it_was",
}


class Whole(InMemoryMemory):
    """Has every capability but ``durable``; those below lack one of them."""

    prepares_messages: ClassVar[bool] = True
    runs_inline: ClassVar[bool] = True


class ForgetsTimestamps(Whole):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        loaded = await super().load_context(session_id, k)
        return [{k: v for k, v in m.items() if k != "timestamp"} for m in loaded]


class MakesIdsOnLoading(Whole):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        loaded = await super().load_context(session_id, k)
        return [
            {**m, "id": f"made-{n}"} if len(m) == 4 else m for n, m in enumerate(loaded)
        ]


class TellsOtherIds(Whole):
    async def save_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        written = await super().save_context(
            session_id, context, expected_version=expected_version
        )
        return written._replace(ids=written.ids[::-1])


class StoresUntilItFails(Whole):
    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        written = WriteResult((), 0)
        for message in context:
            written = await super().append_context(
                session_id, [message], create=create, expected_version=expected_version
            )
        return written


class TakesAnyName(Whole):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        try:
            return await super().load_context(session_id, k)
        except ValueError:
            return []


class CountsBackwards(Whole):
    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Message]:
        return await super().load_context(session_id, None if k == -1 else k)


class KeepsWhatWasThere(Whole):
    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        try:
            return await super().append_context(
                session_id, context, create=create, expected_version=expected_version
            )
        except ConflictError:
            if expected_version is not None:
                raise
            return WriteResult((), 1)


class StoresARepeatAnew(Whole):
    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        known = [message["id"] for message in await super().load_context(session_id)]
        anew = [
            {k: v for k, v in m.items() if k != "id"} if m.get("id") in known else m
            for m in context
        ]
        return await super().append_context(
            session_id, anew, create=create, expected_version=expected_version
        )


class ComparesLoosely(Whole):
    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        stored = await super().load_context(session_id)
        new = [message for message in context if message not in stored]
        return await super().append_context(
            session_id, new, create=create, expected_version=expected_version
        )


class StampsAnewOnSave(Whole):
    async def save_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        await super().save_context(session_id, [], expected_version=expected_version)
        return await super().save_context(session_id, context)


class IgnoresTheVersion(Whole):
    async def save_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        return await super().save_context(session_id, context)


class CountsNoVersions(Whole):
    async def save_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        written = await super().save_context(session_id, context)
        return written._replace(version=1)


class CountsEveryWrite(StampsAnewOnSave):
    """Raises the version for a save that changes nothing."""


class TellsNothingOfWhatWent(Whole):
    async def delete_interaction(
        self, session_id: str, interaction_id: str
    ) -> WriteResult:
        written = await super().delete_interaction(session_id, interaction_id)
        return written._replace(removed=())


class MakesASessionEmpty(Whole):
    """Makes with ``create`` a session anew that is there."""

    async def append_context(
        self,
        session_id: str,
        context: List[Message],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        if create:
            return await super().save_context(session_id, context)
        return await super().append_context(
            session_id, context, expected_version=expected_version
        )


CAPABILITIES: Dict[Type[MemoryBackend], str] = {
    ForgetsTimestamps: "test_ids_and_timestamps_are_filled_in",
    MakesIdsOnLoading: "test_ids_and_timestamps_are_filled_in",
    TellsOtherIds: "test_a_write_tells_the_ids",
    StoresUntilItFails: "test_nothing_of_a_refused_write_is_stored",
    TakesAnyName: "test_ids_that_cannot_be_are_refused",
    CountsBackwards: "test_k_that_counts_nothing_is_refused",
    StoresARepeatAnew: "test_repeating_an_append_adds_nothing",
    KeepsWhatWasThere: "test_an_id_with_other_content_is_a_conflict",
    ComparesLoosely: "test_equality_is_strict_about_type",
    StampsAnewOnSave: "test_a_save_keeps_ids_and_timestamps",
    IgnoresTheVersion: "test_a_stale_version_is_a_conflict",
    CountsNoVersions: "test_every_change_raises_the_version",
    CountsEveryWrite: "test_a_write_that_changes_nothing_raises_none",
    TellsNothingOfWhatWent: "test_a_write_tells_what_it_removed",
    MakesASessionEmpty: "test_append_can_make_the_session",
}


class WorstFirst(DictRetrieval):
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        return (await super().search(session_id, query_vector, 99))[::-1][:k]


class CutsBeforeItSorts(DictRetrieval):
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        first = dict(list(self.sessions.get(session_id, {}).items())[:k])
        everything, self.sessions = self.sessions, {session_id: first}
        try:
            return await super().search(session_id, query_vector, k)
        finally:
            self.sessions = everything


class FindsOneTooMany(DictRetrieval):
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        return await super().search(session_id, query_vector, k + 1)


class SearchesEverySession(DictRetrieval):
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        found: List[RetrievedItem] = []
        for other in self.sessions:
            found += await super().search(other, query_vector, k)
        return sorted(found, key=lambda item: -item.score)[:k]


class DropsTheMetadata(DictRetrieval):
    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        await super().add(session_id, message_id, vector, {})


class KeepsTheFirstVector(DictRetrieval):
    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        if not await self.has_embedding(session_id, message_id):
            await super().add(session_id, message_id, vector, metadata)


class KeepsTheCallersVector(DictRetrieval):
    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        await super().add(session_id, message_id, vector, metadata)
        kept: Any = vector
        _, copied = self.sessions[session_id][message_id]
        self.sessions[session_id][message_id] = (kept, copied)


class KeepsTheCallersMetadata(DictRetrieval):
    async def add(
        self,
        session_id: str,
        message_id: str,
        vector: Sequence[float],
        metadata: Optional[Dict[str, Any]],
    ) -> None:
        self.sessions.setdefault(session_id, {})[message_id] = (
            list(vector),
            metadata or {},
        )


class GivesOutItsMetadata(DictRetrieval):
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        kept = self.sessions.get(session_id, {})
        return [
            RetrievedItem(item.message_id, item.score, kept[item.message_id][1])
            for item in await super().search(session_id, query_vector, k)
        ]


class NormalisesTheQuery(DictRetrieval):
    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        query: Any = query_vector
        query[:] = [component / 2 for component in query]
        return await super().search(session_id, query, k)


class HasEverything(DictRetrieval):
    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        return session_id in self.sessions


class AddsTheFirstOfMany(DeletingDictRetrieval):
    async def add_many(self, session_id: str, items: Sequence[Any]) -> None:
        await super().add_many(session_id, items[:1])


class HidesWhatItDeletes(DeletingDictRetrieval):
    """Takes a deleted vector out of what it has, and finds it all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: List[str] = []

    async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        self.hidden.extend(message_ids)

    async def has_embedding(self, session_id: str, message_id: str) -> bool:
        return message_id not in self.hidden


class BuriesForGood(DeletingDictRetrieval):
    def __init__(self) -> None:
        super().__init__()
        self.buried: List[str] = []

    async def delete(self, session_id: str, message_ids: Sequence[str]) -> None:
        self.buried.extend(message_ids)

    async def search(
        self, session_id: str, query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        found = await super().search(session_id, query_vector, k)
        return [item for item in found if item.message_id not in self.buried]


class DeletesEverySession(DeletingDictRetrieval):
    async def delete_session(self, session_id: str) -> None:
        self.sessions.clear()


class AnswersTheFirstAlone(DictRetrieval):
    async def search_many(
        self, session_id: str, query_vectors: Sequence[Sequence[float]], k: int
    ) -> List[List[RetrievedItem]]:
        found = [await self.search(session_id, vector, k) for vector in query_vectors]
        return [found[0] for _ in found]


class TakesTheBestOfEachSession(DictRetrieval):
    async def search_sessions(
        self, session_ids: Sequence[str], query_vector: Sequence[float], k: int
    ) -> List[RetrievedItem]:
        found = await super().search_sessions(session_ids, query_vector, 99)
        return [item for item in found if item.message_id != "north"][:k]


class NamesInNoOrder(InMemoryEmbeddingStore):
    async def message_ids(self, session_id: str) -> List[str]:
        return sorted(await super().message_ids(session_id))


class NamesWhatIsGone(InMemoryEmbeddingStore):
    def __init__(self) -> None:
        super().__init__()
        self.named: List[str] = []

    async def message_ids(self, session_id: str) -> List[str]:
        for name in await super().message_ids(session_id):
            if name not in self.named:
                self.named.append(name)
        return self.named


class MixesModels(InMemoryEmbeddingStore):
    def for_model(self, name: str) -> MixesModels:
        return self


class DeletesEveryModel(InMemoryEmbeddingStore):
    async def delete_model(self, name: str) -> None:
        for model in ("one", "other"):
            await super().delete_model(model)


RETRIEVAL_WIDER: Dict[Type[RetrievalBackend], str] = {
    AnswersTheFirstAlone: "test_several_queries_are_answered_each",
    TakesTheBestOfEachSession: "test_several_sessions_are_searched_as_one",
    NamesInNoOrder: "test_what_has_a_vector_is_named_oldest_first",
    NamesWhatIsGone: "test_what_was_deleted_is_not_named",
    MixesModels: "test_models_are_apart",
    DeletesEveryModel: "test_a_model_is_deleted_alone",
}
RETRIEVAL: Dict[Type[RetrievalBackend], str] = {
    WorstFirst: "test_the_nearest_comes_first",
    CutsBeforeItSorts: "test_the_nearest_comes_first",
    FindsOneTooMany: "test_k_limits_what_is_found",
    SearchesEverySession: "test_sessions_are_apart",
    DropsTheMetadata: "test_a_result_is_a_retrieved_item",
    KeepsTheFirstVector: "test_the_same_id_replaces",
    KeepsTheCallersVector: "test_what_goes_in_is_copied",
    KeepsTheCallersMetadata: "test_what_goes_in_is_copied",
    GivesOutItsMetadata: "test_what_comes_out_is_a_copy",
    NormalisesTheQuery: "test_the_query_is_not_changed",
    HasEverything: "test_it_knows_what_it_has",
    AddsTheFirstOfMany: "test_many_are_added_at_once",
    HidesWhatItDeletes: "test_a_deleted_vector_is_not_found",
    BuriesForGood: "test_a_deleted_vector_can_be_added_again",
    DeletesEverySession: "test_a_deleted_session_has_nothing",
}
