"""The SQLite session service of Google ADK, which appends one event a call."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from google.adk.events.event import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from benchmarks.storage.systems.base import Message, System

_PLACE = {"app_name": "bench", "user_id": "user"}


class GoogleADK(System):
    def native(self, messages: List[Message]) -> Any:
        # Made at the call: an event carries its own time and id.
        return messages

    async def open(self) -> None:
        self.service = SqliteSessionService(self.path)
        self.sessions: Dict[str, Any] = {}

    async def session(self, session_id: str) -> Any:
        if session_id not in self.sessions:
            place = {**_PLACE, "session_id": session_id}
            found = await self.service.get_session(**place)
            if found is None:
                found = await self.service.create_session(**place)
            self.sessions[session_id] = found
        return self.sessions[session_id]

    async def append(self, session_id: str, messages: List[Message]) -> None:
        session = await self.session(session_id)
        for message in messages:
            part = types.Part(text=message["content"])
            content = types.Content(role=message["role"], parts=[part])
            event = Event(author=message["role"], content=content)
            await self.service.append_event(session, event)

    async def load(self, session_id: str, last: Optional[int]) -> Any:
        config = None if last is None else GetSessionConfig(num_recent_events=last)
        session = await self.service.get_session(
            **_PLACE, session_id=session_id, config=config
        )
        return session.events if session else []

    async def close(self) -> None:
        await self.service.close()
