"""Generated messages that are any JSON object, mostly of fields that are looked at."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from hypothesis import strategies as st

Message = Dict[str, Any]

TEXTS = (
    "",
    " ",
    "x",
    "c1",
    "m1",
    "\ud800",
    "{}",
    '{"a": NaN}',
    "data:image/png;base64,",
)
VALUES: Sequence[Any] = (
    None,
    True,
    False,
    0,
    -1,
    1e300,
    [],
    {},
    [[]],
    [{}],
    {"a": 1},
    [None, "x"],
)
values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(VALUES)
)

PARTS = (
    *("text", "input_text", "output_text", "refusal", "thinking", "redacted_thinking"),
    *("tool_use", "tool_result", "image", "image_url", "input_image"),
    *("input_audio", "file", "input_file", "document"),
)
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
ITEMS = (
    *("message", "reasoning", "function_call", "function_call_output"),
    *("custom_tool_call", "custom_tool_call_output", "web_search_call"),
)
URLS = ("http://x", "data:image/png;base64,iVBORw0KGgo=", "data:image/gif;base64,?")


class Hostile:
    """Draw JSON that is now and then of the wrong shape."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def one_in(self, number: int) -> bool:
        return self.draw(st.integers(1, number)) == number

    def name(self, *known: str) -> Any:
        return self.draw(values if self.one_in(6) else st.sampled_from(known))

    def value(self) -> Any:
        return self.draw(values)

    def some(self, **makers: Any) -> Any:
        """Return an object with most of the fields, or any value."""
        if self.one_in(10):
            return self.value()
        return {name: make() for name, make in makers.items() if not self.one_in(4)}

    def listed(self, make: Any) -> Any:
        """Return a list of a few, or one without its list, or any value."""
        if self.one_in(10):
            return self.value()
        if self.one_in(10):
            return make()
        return [make() for _ in range(self.draw(st.integers(0, 3)))]

    def function(self) -> Any:
        return self.some(
            name=lambda: self.name("find"),
            arguments=lambda: self.name("{}", "["),
            input=self.value,
        )

    def call(self) -> Any:
        inner = self.draw(st.sampled_from(["function", "custom", "name"]))
        return self.some(
            id=lambda: self.name("c1", "c2"),
            type=lambda: self.name("function", "custom"),
            **{inner: self.function},
        )

    def image(self) -> Any:
        return self.some(
            url=lambda: self.name(*URLS),
            detail=lambda: self.name("low", "high"),
            type=lambda: self.name("base64", "url"),
            data=lambda: self.name("iVBORw0KGgo="),
        )

    def part(self, depth: int = 0) -> Any:
        below = self.value if depth > 1 else lambda: self.content(depth + 1)
        return self.some(
            type=lambda: self.name(*PARTS),
            **{self.draw(st.sampled_from(["text", "refusal", "thinking"])): self.value},
            content=below,
            id=lambda: self.name("c1", "c2"),
            name=lambda: self.name("find"),
            input=self.value,
            tool_use_id=lambda: self.name("c1", "c2"),
            image_url=self.image,
            source=self.image,
        )

    def content(self, depth: int = 0) -> Any:
        if self.one_in(3):
            return self.draw(st.sampled_from(["", "hello", "word " * 40]))
        return self.listed(lambda: self.part(depth))

    def message(self) -> Message:
        """Return a message of chat or blocks, or an item."""
        made = {
            "role": self.name(*ROLES),
            "content": self.content(),
            "tool_calls": self.listed(self.call),
            "tool_call_id": self.name("c1", "c2"),
        }
        if self.one_in(3):
            made = {"type": self.name(*ITEMS), "call_id": self.name("c1", "c2")}
            made["arguments"] = self.value()
            made["output"] = self.content()
        others = ("name", "function_call", "refusal", "audio", "input", "summary", "id")
        for field in (*others, "metadata", "role", "type"):
            if self.one_in(8):
                made[field] = self.value()
        dropped = self.draw(st.sampled_from([None, None, None, *made]))
        return {field: made[field] for field in made if field != dropped}

    def tool(self) -> Any:
        field = self.some(
            type=lambda: self.name("object", "array", "string"),
            items=self.value,
            enum=self.value,
            anyOf=self.value,
            properties=self.value,
            required=self.value,
        )
        parameters = {"properties": {"a": field}, "required": self.value()}
        function = {"name": self.name("find"), "parameters": parameters}
        return {"function": function} if self.one_in(2) else function


@st.composite
def histories(draw: st.DrawFn) -> List[Message]:
    """Return a few messages of any shape."""
    hostile = Hostile(draw)
    return [hostile.message() for _ in range(draw(st.integers(0, 5)))]


@st.composite
def tools(draw: st.DrawFn) -> List[Any]:
    """Return a few tool definitions of any shape."""
    hostile = Hostile(draw)
    return [hostile.tool() for _ in range(draw(st.integers(0, 2)))]
