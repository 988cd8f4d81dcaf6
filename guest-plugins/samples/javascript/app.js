// Makes a text fit for an address: the contract from JavaScript.

const schema = {
  type: "object",
  properties: { text: { type: "string", description: "The text." } },
  required: ["text"],
  additionalProperties: false,
};

const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

export const tool = {
  describe: () => [
    { name: "slug", description: "Makes a text fit for an address.", inputSchema: JSON.stringify(schema), annotations: [] },
  ],
  call(name, input, context) {
    const text = slug(JSON.parse(input).text);
    if (!text) throw { code: "invalid-input", message: "no letter is in `text`", annotations: [] };
    return { text, artifacts: [], annotations: [] };
  },
};
