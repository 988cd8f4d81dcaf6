"""Counts the words of a text: the contract from Python."""

import json

from wit_world import exports
from wit_world.exports.tool import ToolOutput, ToolSpec

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "The text."}},
    "required": ["text"],
    "additionalProperties": False,
}


class Tool(exports.Tool):
    def describe(self):
        return [ToolSpec("count", "Counts the words of a text.", json.dumps(SCHEMA), None, [("read-only", "true")])]

    def call(self, name, input, context):
        words = len(json.loads(input)["text"].split())
        return ToolOutput(f"{words} words", json.dumps({"words": words}), None, [], [])
