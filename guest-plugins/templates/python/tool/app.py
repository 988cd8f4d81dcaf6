"""The tools of the plugin `{{name}}`."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.tool import ToolOutput, ToolSpec
from wit_world.imports.types import Error

GREET = ToolSpec(
    name="greet",
    description="Greets somebody by name. Use it when the user wants a greeting.",
    input_schema=json.dumps({
        "type": "object",
        "properties": {"name": {"type": "string", "description": "Whom to greet."}},
        "required": ["name"],
        "additionalProperties": False,
    }),
    output_schema=None,
    annotations=[("read-only", "true")],
)


def greet(name):
    if not name.strip():
        raise Err(Error("invalid-input", "`name` is empty", "ask the user for a name", []))
    return f"Hello, {name.strip()}!"


class Tool(exports.Tool):
    def describe(self):
        return [GREET]

    def call(self, name, input, context):
        # The host has checked the input against the schema.
        return ToolOutput(greet(**json.loads(input)), None, None, [], [])
