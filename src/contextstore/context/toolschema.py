"""Write tool definitions as the TypeScript text that OpenAI's models are shown.

The format is not documented by OpenAI; it was found by measuring prompts. Functions, as
the older API takes them, are shown in another form than tools. The counts that follow
agree with published pairs: for functions with those of openai-chat-tokens, for tools
with those of OpenAI's cookbook and of openai-messages-token-helper.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Sequence

__all__ = ["tools_as_typescript"]

Schema = Dict[str, Any]

_OF_TOOLS = frozenset(("function", "type", "input_schema"))


def tools_as_typescript(tools: Sequence[Any]) -> str:
    """Return the text of definitions, in whichever of the known wrappings each comes.

    A bare object with ``name`` and ``parameters`` is a function of the older API.
    """
    lines = ["namespace functions {", ""]
    for tool in tools:
        function = _function_of(tool)
        types = _Functions() if _is_bare(tool) else _Tools()
        lines.extend(_function_lines(function, types))
        lines.append("")
    lines.append("} // namespace functions")
    return "\n".join(lines)


def _is_bare(tool: Any) -> bool:
    return isinstance(tool, dict) and _OF_TOOLS.isdisjoint(tool)


def _function_of(tool: Any) -> Schema:
    """Return name, description and parameters, also of a tool of Anthropic's shape."""
    if not isinstance(tool, dict):
        return {}
    inner = tool.get("function", tool)
    if not isinstance(inner, dict):
        return {}
    if "input_schema" in inner:
        return {**inner, "parameters": inner["input_schema"]}
    return inner


def _function_lines(function: Schema, types: _Types) -> Iterator[str]:
    if function.get("description"):
        yield f"// {function['description']}"
    name = function.get("name", "")
    parameters: Any = function.get("parameters")
    if _properties(parameters):
        yield f"type {name} = (_: {types.object(parameters)}) => any;"
    else:
        yield f"type {name} = () => any;"


def _properties(schema: Any) -> Schema:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _description(prop: Any) -> Any:
    return prop.get("description") if isinstance(prop, dict) else None


class _Types:
    """Write the type of a schema; how objects look is for the two APIs to say."""

    def object(self, schema: Schema, indent: str = "") -> str:
        """Return the type of an object."""
        raise NotImplementedError

    def type(self, prop: Any, indent: str) -> str:
        """Return the type of any schema."""
        if not isinstance(prop, dict):
            return "any"
        for union in ("anyOf", "oneOf"):
            if isinstance(prop.get(union), list):
                return " | ".join(self.type(option, indent) for option in prop[union])
        if isinstance(prop.get("enum"), list):
            return " | ".join(json.dumps(value) for value in prop["enum"])
        kind = prop.get("type")
        if isinstance(kind, list):
            options = ({**prop, "type": option} for option in kind)
            return " | ".join(self.type(option, indent) for option in options)
        if kind == "object":
            return self.object(prop, indent + "  ")
        if kind == "array":
            return (
                f"{self.type(prop['items'], indent)}[]" if "items" in prop else "any[]"
            )
        if kind == "integer":
            return "number"
        return kind if kind in ("string", "number", "boolean", "null") else "any"

    def lines(self, schema: Schema, indent: str, *, described: bool) -> Iterator[str]:
        """Yield a line for each property, behind that of its description."""
        for field, prop in zip(
            self.fields(schema, indent), _properties(schema).values()
        ):
            if described and _description(prop):
                yield f"// {_description(prop)}"
            yield f"{field},"

    def fields(self, schema: Schema, indent: str) -> List[str]:
        """Return name and type of each property."""
        required = schema.get("required")
        needed = required if isinstance(required, list) else []
        return [
            f"{name}{'' if name in needed else '?'}: {self.type(prop, indent)}"
            for name, prop in _properties(schema).items()
        ]


class _Functions(_Types):
    """Write types as functions have them: below the top, indented and undescribed."""

    def object(self, schema: Schema, indent: str = "") -> str:
        lines = self.lines(schema, indent, described=not indent)
        return "\n".join(["{", *(indent + line for line in lines), "}"])


class _Tools(_Types):
    """Write types as tools have them: on one line, unless a property is described."""

    def object(self, schema: Schema, indent: str = "") -> str:
        if not any(map(_description, _properties(schema).values())):
            return f"{{ {', '.join(self.fields(schema, indent))} }}"
        return "\n".join(["{", *self.lines(schema, indent, described=True), "}"])
