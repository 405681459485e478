"""Join memory, retrieval and context: the one place where the three meet."""

from __future__ import annotations

from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Type,
    cast,
)

from contextstore import messages
from contextstore._background import Handle
from contextstore._hop import reach
from contextstore._lifecycle import Closing
from contextstore.backends.base import MemoryBackend, PruneAge
from contextstore.backends.results import EraseReceipt, PruneResult, WriteResult
from contextstore.backends.stamps import Stamps
from contextstore.backends.told import Memory, Telling, Told
from contextstore.backends.writes import Writer, Written
from contextstore.context.arguments import checked_options, checked_tokens
from contextstore.context.builder import BuildResult, ContextBuilder
from contextstore.context.strategies.relevant import DEFAULT_RECENT_SHARE
from contextstore.errors import ConfigurationError
from contextstore.messages import Message
from contextstore.retrieval.base import (
    RetrievalBackend,
    RetrievedItem,
    validate_count,
    validate_query,
)
from contextstore.retrieval.embedding import EmbedFn
from contextstore.retrieval.snippets import DEFAULT_SNIPPET_CHARS
from contextstore.retrieval.upkeep import Entry
from contextstore.store import prompts
from contextstore.store.config import SessionStoreConfig
from contextstore.store.embedding import (
    EmbeddingReport,
    EmbeddingStatus,
    Progress,
)
from contextstore.store.in_step import InStep
from contextstore.store.recall import Recall, validate_mode

if TYPE_CHECKING:
    from contextstore.sync import SyncSessionStore

# More messages than any prompt recalls.
_MOST_RECALLED = 2_000


class SessionStore(Closing, Telling[Told]):
    """Keep sessions and find what was said in them.

    What it was given it does not close: close the memory and the retrieval backend
    where they were made.

    Args:
        memory: keeps the messages.
        retrieval: keeps the vectors; without it nothing is embedded.
        config: says how to embed, rank and build.

    Raises:
        ConfigurationError: a part is of the wrong kind, or ``auto_embed`` is on without
            ``embed_fn`` or ``retrieval``.
    """

    def __init__(
        self,
        memory: Memory[Told],
        retrieval: Optional[RetrievalBackend] = None,
        config: Optional[SessionStoreConfig] = None,
    ) -> None:
        _refuse_other(memory, MemoryBackend, "memory")
        if retrieval is not None:
            _refuse_other(retrieval, RetrievalBackend, "retrieval")
        if config is not None:
            _refuse_other(config, SessionStoreConfig, "config")
        self.memory: MemoryBackend = cast(MemoryBackend, memory)
        self.retrieval = retrieval
        config = config or SessionStoreConfig()
        config.check(retrieval)
        self._writer = Writer(self.memory, Stamps.of(None, None))
        self._in_step = InStep(self.memory, retrieval, config)
        self._recall = Recall(config.weights, auto_embed=config.auto_embed)
        self._summaries = prompts.Summaries(self.memory)

    @property
    def config(self) -> SessionStoreConfig:
        """Say how it embeds, ranks and builds; ``reembed`` changes the first."""
        return self._in_step.config

    async def load_context(
        self, session_id: str, k: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Return the messages of a session, oldest first.

        Args:
            k: how many of the newest to return; None for all, 0 for none.
        """
        session_id = messages.validate_session_id(session_id)
        k = messages.validate_k(k)
        return await reach(self.memory, self.memory.load_context(session_id, k))

    async def save_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Make these the messages of a session, creating or replacing it.

        With ``auto_embed`` the new ones are embedded before this returns. A failing
        ``embed_fn`` does not fail the save: ``wait_for_embeddings`` raises it.
        """
        written = await self._writer.save(
            session_id, context, expected_version=expected_version
        )
        await self._in_step.follow(session_id, written)
        return cast(Told, written.result)

    async def append_context(
        self,
        session_id: str,
        context: Sequence[Mapping[str, Any]],
        *,
        create: bool = False,
        expected_version: Optional[int] = None,
    ) -> Told:
        """Add messages at the end of a session; embeds them as ``save_context`` does.

        Raises:
            ValueError: there is no such session, and ``create`` is False.
        """
        written = await self._writer.append(
            session_id, context, create=create, expected_version=expected_version
        )
        await self._in_step.follow(session_id, written)
        return cast(Told, written.result)

    async def delete_session(self, session_id: str) -> None:
        """Delete a session, its messages and its vectors.

        Raises:
            ValueError: there is no such session.
        """
        session_id = messages.validate_session_id(session_id)
        await reach(self.memory, self.memory.delete_session(session_id))
        self._summaries.forget(session_id)
        await self._in_step.remove_session(session_id)

    async def delete_interaction(self, session_id: str, interaction_id: str) -> Told:
        """Delete a message and all after it, with their vectors.

        Raises:
            ValueError: there is no such session or message.
        """
        messages.validate_session_id(session_id)
        messages.validate_message_id(interaction_id, "interaction_id")
        written = await self._writer.delete_interaction(session_id, interaction_id)
        await self._in_step.remove(session_id, written.removed)
        return cast(Told, written.result)

    async def update_interaction(
        self,
        session_id: str,
        interaction_id: str,
        message: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Put another message in the place of a stored one, and embed it anew.

        Raises:
            NotFoundError: there is no such session or message.
            UnsupportedOperationError: the memory cannot do it.
        """
        prepared = messages.prepare_message(message)
        result = await reach(
            self.memory,
            self.memory.update_interaction(
                session_id, interaction_id, prepared, expected_version=expected_version
            ),
        )
        changed = [{**prepared, "id": interaction_id}] if result.removed else []
        await self._in_step.follow(session_id, Written(changed, result.removed, result))
        return result

    async def fork_session(
        self, session_id: str, new_session_id: str, *, at: Optional[str] = None
    ) -> WriteResult:
        """Copy a session under a new id; see MemoryBackend.fork_session.

        Vectors that are kept in the file of the messages are copied with them. Others
        are made when the new session is next searched.
        """
        return await reach(
            self.memory, self.memory.fork_session(session_id, new_session_id, at=at)
        )

    async def set_metadata(
        self,
        session_id: str,
        metadata: Dict[str, Any],
        *,
        expected_version: Optional[int] = None,
    ) -> WriteResult:
        """Give a session metadata, by which ``search`` and ``erase`` find it.

        See MemoryBackend.set_metadata.
        """
        return await reach(
            self.memory,
            self.memory.set_metadata(
                session_id, metadata, expected_version=expected_version
            ),
        )

    async def prune(
        self,
        session_id: Optional[str] = None,
        *,
        older_than: Optional[PruneAge] = None,
        keep_last: Optional[int] = None,
        dry_run: bool = False,
    ) -> PruneResult:
        """Remove old messages with their vectors; see MemoryBackend.prune."""
        result = await reach(
            self.memory,
            self.memory.prune(
                session_id, older_than=older_than, keep_last=keep_last, dry_run=dry_run
            ),
        )
        if not dry_run:
            for name, removed in result.removed.items():
                await self._in_step.remove(name, removed)
        return result

    async def erase(
        self,
        *,
        session_id: Optional[str] = None,
        where: Optional[Mapping[str, Any]] = None,
    ) -> EraseReceipt:
        """Delete sessions with their vectors; see MemoryBackend.erase."""
        receipt = await reach(
            self.memory, self.memory.erase(session_id=session_id, where=where)
        )
        for name in receipt.session_ids:
            self._summaries.forget(name)
            await self._in_step.remove_session(name)
        return receipt

    async def add_message_embedding(
        self,
        session_id: str,
        message_id: str,
        text: str,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Embed a text under a message id, unless that has a vector already.

        The id need not be that of a stored message.

        Args:
            metadata: what search gives back beside the score; ``text`` is added.

        Raises:
            ConfigurationError: there is no retrieval backend or no ``embed_fn``.
            EmbeddingError: the text could not be embedded.
        """
        upkeep = self._in_step.embedding("add_message_embedding")
        entry = _entry(session_id, message_id, text, metadata)
        await self._in_step.add(upkeep, session_id, entry)

    def spawn_background_embedding(
        self,
        session_id: str,
        message_id: str,
        text: str,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> Handle:
        """Start ``add_message_embedding`` and return at once.

        What still runs when the process or its event loop ends is lost without a word:
        call ``wait_for_embeddings`` or ``close`` before. A stored message is then
        embedded by the next ``embed_missing``; a text of any other id is not.

        Returns:
            The task, or a ``concurrent.futures.Future`` where no event loop runs. A
            failure is also raised by the next ``wait_for_embeddings``.
        """
        upkeep = self._in_step.embedding("spawn_background_embedding")
        entry = _entry(session_id, message_id, text, metadata)
        return self._in_step.start_to_add(upkeep, session_id, entry)

    async def retrieve_relevant(
        self, session_id: str, query: str, k: int = 5, *, mode: str = "hybrid"
    ) -> List[RetrievedItem]:
        """Return the ``k`` messages of a session that a query is about, best first.

        Args:
            mode: ``hybrid`` ranks by words and meaning, and by words alone where
                nothing is embedded or the query cannot be; ``lexical`` by words;
                ``dense`` by the cosine alone, which is then the score.

        Raises:
            ConfigurationError: ``dense`` without a retrieval backend or ``embed_fn``.
            EmbeddingError: ``dense``, and the query could not be embedded.
        """
        session_id = messages.validate_session_id(session_id)
        query = validate_query(query)
        k = validate_count(k)
        mode = validate_mode(mode)
        upkeep = self._in_step.upkeep
        if mode == "dense":
            upkeep = self._in_step.embedding("mode='dense'")
        if k == 0:
            return []
        session = await self._in_step.current(session_id)
        return await self._recall.find(session_id, session, query, k, mode, upkeep)

    async def search(
        self,
        query: str,
        *,
        where: Optional[Mapping[str, Any]] = None,
        prefix: Optional[str] = None,
        k: int = 5,
    ) -> List[RetrievedItem]:
        """Return the ``k`` messages that a query is about, across sessions.

        Each session is ranked as ``retrieve_relevant`` ranks it, and its best are
        compared by cosine and words. Each result carries its ``session_id``.

        Args:
            where: only sessions whose metadata has these keys with equal values.
            prefix: only sessions whose id begins with it.

        Raises:
            UnsupportedOperationError: the memory cannot list sessions.
        """
        query = validate_query(query)
        k = validate_count(k)
        names = await self._in_step.catch_up.session_ids(where, prefix)
        sessions = {name: await self._in_step.current(name) for name in names}
        return await self._recall.find_across(sessions, query, k, self._in_step.upkeep)

    async def build_context(
        self,
        session_id: str,
        max_tokens: int,
        query: Optional[str] = None,
        recent_share: float = DEFAULT_RECENT_SHARE,
        *,
        strategy: Optional[str] = None,
        strategy_opts: Optional[Mapping[str, Any]] = None,
        snippet_chars: Optional[int] = DEFAULT_SNIPPET_CHARS,
        builder: Optional[ContextBuilder] = None,
        tools: Optional[Sequence[Dict[str, Any]]] = None,
        tool_choice: Any = None,
    ) -> BuildResult:
        """Return a prompt from a session: pinned, recent and relevant, in order.

        With a query, the newest messages take a share of the budget, and older ones
        that the query is about the rest, as far as they fit; tool calls keep their
        results. Without one, it is what a strategy makes of the session; summaries are
        kept beside the session and extended. Where the newest messages alone decide, no
        more is read than a budget can hold; the whole session is for a query, ``pin``,
        ``headroom`` without ``previous``, and strategies other than ``truncate_oldest``
        and ``recent_only``.

        A session that is not there has no messages, as in ``load_context``, so that a
        chat may begin with its first prompt: the result is empty, not ``infeasible``,
        and a line of the log at DEBUG says so. ``session_info`` raises for it.

        Args:
            max_tokens: the budget, for the prompt as the provider counts it.
            recent_share: the part of it for the newest messages, 0 to 1.
            strategy: as in ``ContextBuilder.build``; only without a query.
            strategy_opts: options for the builder, such as ``reserve``.
            snippet_chars: a recalled message longer than this is packed to its best
                sentences, with a mark where some are left out; None keeps it whole.
            builder: counts and builds; that of the configuration by default.
            tools: tool definitions that will be sent along, to be counted.
            tool_choice: their ``tool_choice``.

        Raises:
            InvalidInputError: an argument cannot be taken, or ``query`` and
                ``strategy`` were both given.
        """
        session_id = messages.validate_session_id(session_id)
        max_tokens = checked_tokens(max_tokens, "max_tokens")
        snippet_chars = prompts.validate_snippet_chars(snippet_chars)
        prompts.refuse_both(query, strategy)
        builder = builder or self.config.builder
        abuild = partial(builder.abuild, tools=tools, tool_choice=tool_choice)
        build = partial(prompts.build, abuild, session_id)
        options = dict(checked_options(strategy_opts))
        if query is not None:
            ranked = await self.retrieve_relevant(session_id, query, k=_MOST_RECALLED)
            session = self._in_step.indexes.known(session_id)
            options["ranking"] = [item.message_id for item in ranked]
            options["recent_share"] = recent_share
            options["shorten"] = prompts.shortener(session, query, snippet_chars)
            history = await self.load_context(session_id)
            return await build(history, max_tokens, "relevant", options)
        if "summarizer" in options:
            async with self._summaries.of(session_id) as summaries:
                # A dict of the caller's own is theirs to keep.
                options.setdefault("summaries", summaries)
                options["summarizer"] = self._summaries.shared(
                    session_id, options["summarizer"]
                )
                history = await self.load_context(session_id)
                return await build(history, max_tokens, strategy, options)
        chosen = strategy or builder.default_strategy
        if prompts.needs_whole_history(chosen, options):
            history = await self.load_context(session_id)
        else:
            history = await prompts.load_window(
                self.memory, session_id, max_tokens, builder
            )
        return await build(history, max_tokens, strategy, options)

    async def load_window(
        self,
        session_id: str,
        max_tokens: int,
        *,
        builder: Optional[ContextBuilder] = None,
    ) -> List[Message]:
        """Return the pinned messages and the newest that a budget can hold.

        It costs what the window costs, however long the session is. Build the prompt
        from it as from the whole history.

        Args:
            builder: counts; that of the configuration by default.
        """
        session_id = messages.validate_session_id(session_id)
        budget = messages.validate_limit(max_tokens, "max_tokens")
        return await prompts.load_window(
            self.memory, session_id, budget, builder or self.config.builder
        )

    async def embed_missing(
        self,
        session_id: Optional[str] = None,
        *,
        retries: int = 2,
        per_minute: Optional[int] = None,
        progress: Optional[Progress] = None,
    ) -> EmbeddingReport:
        """Embed all stored messages that lack a vector of their text.

        What is missing is derived from what is stored, so that it can be stopped at
        any point and called again.

        Args:
            session_id: one session; None for all.
            retries: how often a batch that failed is tried again, after half a second
                and then twice as long each time.
            per_minute: embed no more messages a minute than this.
            progress: called, and awaited if it is asynchronous, after each session with
                how many messages were done and how many were missing in it.

        Raises:
            ConfigurationError: there is no retrieval backend or no ``embed_fn``.
            InvalidInputError: ``retries``, ``per_minute`` or ``progress`` cannot be
                taken.
        """
        upkeep = self._in_step.embedding("embed_missing")
        return await self._in_step.catch_up.run(
            upkeep, session_id, retries, per_minute, progress
        )

    async def embedding_status(
        self, session_id: Optional[str] = None
    ) -> EmbeddingStatus:
        """Count the messages that have a vector and those that lack one.

        Args:
            session_id: one session; None for all.

        Raises:
            ConfigurationError: there is no retrieval backend or no ``embed_fn``.
        """
        upkeep = self._in_step.embedding("embedding_status")
        return await self._in_step.catch_up.status(upkeep, session_id)

    async def reembed(
        self,
        embed_fn: EmbedFn,
        *,
        retries: int = 2,
        per_minute: Optional[int] = None,
        progress: Optional[Progress] = None,
    ) -> EmbeddingReport:
        """Move all vectors to another model while the store is in use.

        Everything is embedded by the new model first, beside the vectors of the old
        one, which answer queries until then. Then the new one takes over, and the old
        vectors are removed. Stopped at any point, it goes on where it was when called
        again. What could not be embedded is reported, and the old model stays.

        Args:
            embed_fn: the new function; it needs a ``name``, as the embedders of this
                library have, so that the two models are told apart.
            retries: as in ``embed_missing``.
            per_minute: as in ``embed_missing``.
            progress: as in ``embed_missing``.

        Raises:
            ConfigurationError: there is no retrieval backend, it cannot tell models
                apart, or the function has no name of its own.
        """
        return await self._in_step.reembed(embed_fn, retries, per_minute, progress)

    async def wait_for_embeddings(self) -> None:
        """Wait until all that was to be embedded is, in whatever loop it was started.

        Raises:
            EmbeddingError: for everything that failed since the last call, naming the
                messages without a vector; the first failure is its cause.
        """
        await self._in_step.wait()

    async def close(self) -> None:
        """Wait for the embeddings; what this object was given stays open."""
        await self.wait_for_embeddings()

    @property
    def sync(self) -> SyncSessionStore[Told]:
        """Give the sync face of this object: the same methods without await."""
        # The sync face stands above this file; imported here, it closes no circle.
        from contextstore.sync import SyncSessionStore  # noqa: PLC0415

        return SyncSessionStore[Told].of(self)


def _refuse_other(part: object, kind: Type[object], name: str) -> None:
    if not isinstance(part, kind):
        raise ConfigurationError(
            f"{name} is of type {type(part).__name__}; pass a {kind.__name__}"
        )


def _entry(
    session_id: str, message_id: str, text: str, metadata: Optional[Dict[str, Any]]
) -> Entry:
    messages.validate_session_id(session_id)
    messages.validate_message_id(message_id)
    messages.validate_text(text, "text")
    if metadata is not None:
        metadata = messages.copy_object(metadata, "metadata")
    return Entry(message_id, text, {"text": text, **(metadata or {})})
