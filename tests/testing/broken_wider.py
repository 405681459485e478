"""Backends that are wrong in one method beyond the contract, and the test that sees it.

Each takes the methods of a good backend, except for one or two given here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Callable, Dict, List, NamedTuple, Tuple, Type

from contextstore import MemoryBackend, WriteResult
from contextstore.backends.results import (
    EraseReceipt,
    Problem,
    PruneResult,
    SessionInfo,
    SessionPage,
    TextMatch,
    VerifyReport,
)
from contextstore.errors import ContextStoreError
from tests.testing.broken import Whole

Good = Callable[..., Any]


class Wrong(NamedTuple):
    """Say what is wrong, and which test of the suite has to fail by it."""

    name: str
    test: str
    methods: Dict[str, Any]

    def backend(self) -> Type[MemoryBackend]:
        return type(self.name, (Whole,), {"runs_inline": True, **self.methods})


def changed(method: str, change: Callable[..., Any]) -> Dict[str, Any]:
    """Return a method that passes what the good one gives through a change."""

    async def wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        given = await getattr(Whole, method)(self, *arguments, **options)
        return change(given)

    return {method: wrong}


def asked(method: str, change: Callable[..., Any]) -> Dict[str, Any]:
    """Return a method that asks the good one for something else."""

    async def wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        arguments, options = change(arguments, options)
        return await getattr(Whole, method)(self, *arguments, **options)

    return {method: wrong}


def lenient(method: str, otherwise: Any) -> Dict[str, Any]:
    """Return a method that gives something where the good one refuses."""

    async def wrong(self: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return await getattr(Whole, method)(self, *arguments, **options)
        except ContextStoreError:
            return otherwise

    return {method: wrong}


def without(*names: str) -> Callable[..., Any]:
    """Return what forgets some options."""
    return lambda arguments, options: (
        arguments,
        {name: value for name, value in options.items() if name not in names},
    )


NOTHING = WriteResult((), 1)
NO_INFO = SessionInfo("s", 1, 0, "", "")


def miscounted(info: SessionInfo) -> SessionInfo:
    return SessionInfo(
        info.session_id, info.version, 1, info.created_at, info.updated_at
    )


def at_version_one(info: SessionInfo) -> SessionInfo:
    return SessionInfo(
        info.session_id, 1, info.message_count, info.created_at, info.updated_at, {}
    )


def oldest_first(page: SessionPage) -> SessionPage:
    updated = [
        SessionInfo(one.session_id, 1, one.message_count, "", str(number))
        for number, one in enumerate(page.sessions)
    ]
    return SessionPage(updated, page.cursor)


async def prune_parting(
    self: Any, session_id: Any = None, *, keep_last: Any = None, **options: Any
) -> PruneResult:
    stored = await self.load_context(session_id)
    cut = max(0, len(stored) - keep_last)
    await self.save_context(session_id, stored[cut:])
    return PruneResult({session_id: tuple(m["id"] for m in stored[:cut])})


async def prune_pinned(
    self: Any, session_id: Any = None, *, keep_last: Any = None, **options: Any
) -> PruneResult:
    return await prune_parting(self, session_id, keep_last=keep_last)


async def fork_one_short(self: Any, session_id: str, new: str, **at: Any) -> Any:
    written = await Whole.fork_session(self, session_id, new, **at)
    if written.ids:
        await self.delete_interaction(new, written.ids[-1])
    return written


async def fork_over(self: Any, session_id: str, new: str, **at: Any) -> Any:
    stored = await self.load_context(session_id)
    return await self.save_context(new, stored)


async def update_at_the_end(
    self: Any, session_id: str, interaction_id: str, message: Any, **options: Any
) -> Any:
    stored = await self.load_context(session_id)
    (old,) = (one for one in stored if one["id"] == interaction_id)
    rest = [one for one in stored if one is not old]
    changed_one = {**{k: old[k] for k in ("id", "timestamp")}, **message}
    written = await self.save_context(session_id, [*rest, changed_one])
    return WriteResult((interaction_id,), written.version, (interaction_id,))


async def update_always(
    self: Any, session_id: str, interaction_id: str, message: Any, **options: Any
) -> Any:
    first = await Whole.update_interaction(self, session_id, interaction_id, {})
    del first
    return await Whole.update_interaction(self, session_id, interaction_id, message)


async def merged_metadata(
    self: Any, session_id: str, metadata: Any, **options: Any
) -> Any:
    info = await self.session_info(session_id)
    both = {**info.metadata, **metadata}
    return await Whole.set_metadata(self, session_id, both, **options)


async def erase_nothing(self: Any, *, session_id: Any = None, where: Any = None) -> Any:
    if session_id is None or not await self.load_context(session_id):
        return await Whole.erase(self, session_id=session_id, where=where)
    return EraseReceipt((session_id,), 3, 0, True)


async def erase_all(self: Any, *, session_id: Any = None, where: Any = None) -> Any:
    if where:
        page = await self.list_sessions()
        for info in page.sessions:
            await self.delete_session(info.session_id)
    return await Whole.erase(self, session_id=session_id, where=where)


class Remembers:
    """Search what was there at the first search, and what came since."""

    def __init__(self) -> None:
        self.seen: Dict[Tuple[str, str], TextMatch] = {}

    def __call__(self, found: List[TextMatch]) -> List[TextMatch]:
        for match in found:
            self.seen[match.session_id, match.message_id] = match
        return list(self.seen.values())


async def search_any_word(self: Any, query: str, **options: Any) -> List[TextMatch]:
    found: Dict[str, TextMatch] = {}
    for word in query.split():
        for match in await Whole.search_text(self, word, **options):
            found[match.message_id] = match
    return list(found.values())


async def search_with_operators(
    self: Any, query: str, **options: Any
) -> List[TextMatch]:
    if any(mark in str(query) for mark in '"*():') or "AND" in str(query):
        raise ValueError("fts5: syntax error")
    found: List[TextMatch] = await Whole.search_text(self, query, **options)
    return found


async def backup_over(self: Any, path: Any) -> None:
    path.write_bytes(b"a copy, whatever was here")


def problematic(report: VerifyReport) -> VerifyReport:
    return VerifyReport(
        report.session_count, report.message_count, (Problem("index", "imagined"),)
    )


def first_argument(change: Callable[[Any], Any], name: str) -> Callable[..., Any]:
    return lambda arguments, options: (
        arguments,
        {**options, name: change(options[name])} if name in options else options,
    )


WIDER: List[Wrong] = [
    Wrong(
        "Miscounts",
        "test_a_session_is_described",
        changed("session_info", miscounted),
    ),
    Wrong(
        "ForgetsVersions",
        "test_its_version_is_that_of_the_writes",
        changed("session_info", at_version_one),
    ),
    Wrong(
        "ImaginesSessions",
        "test_what_is_not_there_is_not_described",
        lenient("session_info", NO_INFO),
    ),
    Wrong(
        "ListsOldestFirst",
        "test_sessions_are_listed_newest_change_first",
        changed("list_sessions", oldest_first),
    ),
    Wrong(
        "RepeatsItsFirstPage",
        "test_pages_give_each_session_once",
        asked("list_sessions", without("cursor")),
    ),
    Wrong(
        "IgnoresThePrefix",
        "test_a_prefix_is_taken_literally",
        asked("list_sessions", without("prefix")),
    ),
    Wrong(
        "IgnoresMetadata",
        "test_sessions_are_found_by_metadata",
        asked("list_sessions", without("metadata")),
    ),
    Wrong(
        "ListsWhateverIsAsked",
        "test_a_list_that_cannot_be_is_refused",
        lenient("list_sessions", SessionPage([], None)),
    ),
    Wrong(
        "PagesFromTheEnd",
        "test_a_page_is_a_stretch",
        asked("load_page", without("before", "after")),
    ),
    Wrong(
        "PagesOverRewinds",
        "test_pages_follow_a_rewind",
        lenient("load_page", []),
    ),
    Wrong(
        "PagesWhateverIsAsked",
        "test_a_page_that_cannot_be_is_refused",
        lenient("load_page", []),
    ),
    Wrong(
        "PinsSystemMessagesAlone",
        "test_what_is_pinned_is_given",
        changed(
            "load_pinned", lambda found: [m for m in found if m["role"] == "system"]
        ),
    ),
    Wrong(
        "MovesWhatItUpdates",
        "test_a_message_is_changed_in_its_place",
        {"update_interaction": update_at_the_end},
    ),
    Wrong(
        "UpdatesAlways",
        "test_an_update_to_the_same_changes_nothing",
        {"update_interaction": update_always},
    ),
    Wrong(
        "UpdatesWhateverIsAsked",
        "test_an_update_that_cannot_be_is_refused",
        lenient("update_interaction", NOTHING),
    ),
    Wrong(
        "ForksOneShort",
        "test_a_fork_is_a_copy_that_goes_its_own_way",
        {"fork_session": fork_one_short},
    ),
    Wrong(
        "ForksAll",
        "test_a_fork_ends_at_a_message",
        asked("fork_session", without("at")),
    ),
    Wrong(
        "ForksOver",
        "test_a_fork_that_cannot_be_is_refused",
        {"fork_session": fork_over},
    ),
    Wrong(
        "MergesMetadata",
        "test_metadata_is_any_object",
        {"set_metadata": merged_metadata},
    ),
    Wrong(
        "TakesAnyMetadata",
        "test_metadata_that_cannot_be_is_refused",
        lenient("set_metadata", NOTHING),
    ),
    Wrong(
        "PrunesInEarnest",
        "test_what_is_not_among_the_newest_goes",
        asked("prune", without("dry_run")),
    ),
    Wrong(
        "KeepsOneMore",
        "test_a_pruned_session_is_one_like_others",
        asked("prune", first_argument(lambda k: k + 1, "keep_last")),
    ),
    Wrong("PrunesPinned", "test_pinned_messages_stay", {"prune": prune_pinned}),
    Wrong(
        "PartsCallsFromResults",
        "test_a_call_and_its_result_stay_together",
        {"prune": prune_parting},
    ),
    Wrong(
        "PrunesTheYoung",
        "test_age_is_by_the_time_of_writing",
        asked("prune", first_argument(lambda _: -timedelta(days=9), "older_than")),
    ),
    Wrong(
        "PrunesWhateverIsAsked",
        "test_a_prune_that_cannot_be_is_refused",
        lenient("prune", PruneResult({})),
    ),
    Wrong("ErasesNothing", "test_an_erased_session_is_gone", {"erase": erase_nothing}),
    Wrong("ErasesAll", "test_sessions_are_erased_by_metadata", {"erase": erase_all}),
    Wrong(
        "ErasesWhateverIsAsked",
        "test_an_erasure_that_cannot_be_is_refused",
        lenient("erase", EraseReceipt((), 0, 0, True)),
    ),
    Wrong(
        "FindsAnyWord",
        "test_messages_are_found_by_their_words",
        {"search_text": search_any_word},
    ),
    Wrong(
        "SearchesEverySession",
        "test_searches_keep_to_sessions",
        asked("search_text", without("session_id", "prefix")),
    ),
    Wrong(
        "FindsWhatIsGone",
        "test_a_search_follows_every_change",
        changed("search_text", Remembers()),
    ),
    Wrong(
        "FindsWhatWasUpdated",
        "test_a_search_follows_an_update",
        changed("search_text", Remembers()),
    ),
    Wrong(
        "SearchesInALanguage",
        "test_words_are_no_language",
        {"search_text": search_with_operators},
    ),
    Wrong(
        "SearchesWhateverIsAsked",
        "test_a_search_that_cannot_be_is_refused",
        lenient("search_text", []),
    ),
    Wrong(
        "ImaginesProblems",
        "test_a_sound_store_has_no_problems",
        changed("verify", problematic),
    ),
    Wrong("BacksUpOver", "test_a_backup_has_what_was_stored", {"backup": backup_over}),
]
