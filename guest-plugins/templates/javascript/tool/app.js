// The tools of the plugin `{{name}}`.

const GREET = {
  name: "greet",
  description: "Greets somebody by name. Use it when the user wants a greeting.",
  inputSchema: JSON.stringify({
    type: "object",
    properties: { name: { type: "string", description: "Whom to greet." } },
    required: ["name"],
    additionalProperties: false,
  }),
  annotations: [["read-only", "true"]],
};

function greet({ name }) {
  if (!name.trim()) {
    throw { code: "invalid-input", message: "`name` is empty", hint: "ask the user for a name", annotations: [] };
  }
  return `Hello, ${name.trim()}!`;
}

export const tool = {
  describe: () => [GREET],
  // The host has checked the input against the schema.
  call: (name, input, context) => ({ text: greet(JSON.parse(input)), artifacts: [], annotations: [] }),
};
