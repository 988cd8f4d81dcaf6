"""The pattern `{{name}}`: answers as ReAct does, but lets the model check its first answer once."""

from wit_world import exports
from wit_world.exports.pattern import (
    Action_Finish,
    Action_Model,
    Action_Tools,
    Change_Reply,
    Decision,
    FinishAction,
    Message,
    ModelAction,
    ToolRequest_Asked,
    ToolsAction,
)

CHECKED = b"checked"
CHECK = Message("user", "Check your answer. Then write it again, corrected where it was wrong.")


def model(append):
    return Action_Model(ModelAction("main", append, None, None, None, []))


class Pattern(exports.Pattern):
    def step(self, view):
        """Decides what to do next from what happened since the last step; `view.state` is what the last step left."""
        replies = [change.value for change in view.changes if isinstance(change, Change_Reply)]
        if not replies:
            # The user's message, or results of tools: the host has already put them into the conversation.
            return Decision([model([])], None)
        if replies[-1].calls:
            asked = [ToolRequest_Asked(call.id) for call in replies[-1].calls]
            return Decision([Action_Tools(ToolsAction("main", asked, []))], None)
        if view.state == CHECKED:
            return Decision([Action_Finish(FinishAction(None, "done", []))], None)
        return Decision([model([CHECK])], CHECKED)
