// The pattern `{{name}}`: answers as ReAct does, but lets the model check its first answer once.

const CHECKED = "checked";
const CHECK = { role: "user", text: "Check your answer. Then write it again, corrected where it was wrong." };

const model = (append) => ({ tag: "model", val: { thread: "main", append, annotations: [] } });

export const pattern = {
  // Decides what to do next from what happened since the last step; `view.state` is what the last step left.
  step(view) {
    const reply = view.changes.filter((change) => change.tag === "reply").at(-1)?.val;
    if (!reply) {
      // The user's message, or results of tools: the host has already put them into the conversation.
      return { actions: [model([])] };
    }
    if (reply.calls.length > 0) {
      const calls = reply.calls.map((call) => ({ tag: "asked", val: call.id }));
      return { actions: [{ tag: "tools", val: { thread: "main", calls, annotations: [] } }] };
    }
    if (String.fromCharCode(...view.state) === CHECKED) {
      return { actions: [{ tag: "finish", val: { reason: "done", annotations: [] } }] };
    }
    return { actions: [model([CHECK])], state: Uint8Array.from(CHECKED, (c) => c.charCodeAt(0)) };
  },
};
