// A stdio MCP server that gives back what it gets, byte for byte, and says what it is told to, whatever that is.
const modern = process.env["ECHO_ERA"] === "modern";
const TOOLS = ["echo", "answer", "write", "ask"].map((name) => ({ name, inputSchema: { type: "object" } }));
const CAPABILITIES = { tools: {}, prompts: {}, resources: {}, completions: {} };
const META = { "io.modelcontextprotocol/serverInfo": { name: "echo", version: "1.0.0" } };
const LISTS: Readonly<Record<string, object>> = {
  "tools/list": { tools: TOOLS },
  "prompts/list": { prompts: [] },
  "resources/list": { resources: [] },
  "resources/templates/list": { resourceTemplates: [] },
};

function send(text: string): void {
  process.stdout.write(`${text}\n`);
}

function reply(id: unknown, result: object): void {
  const all = modern ? { resultType: "complete", ttlMs: 0, cacheScope: "private", _meta: META, ...result } : result;
  send(JSON.stringify({ jsonrpc: "2.0", id, result: all }));
}

/** The call that waits for its client's answer. */
let asking: unknown;

function call(line: string, { id, params }: any): void {
  const { raw } = (params.arguments ?? {}) as { raw: string };
  switch (params.name) {
    case "answer":
      return send(`{"jsonrpc":"2.0","id":${id},"result":${raw}}`);
    case "write":
      process.stdout.write(Buffer.concat([Buffer.from(raw, "base64"), Buffer.from("\n")]));
      return reply(id, { content: [{ type: "text", text: "written" }] });
    case "ask":
      asking = id;
      return send(raw);
    default:
      return reply(id, { content: [], received: line });
  }
}

function handle(line: string): void {
  const message: any = JSON.parse(line);
  const { id, method } = message;
  if (method === undefined && asking !== undefined) return reply(asking, { content: [], received: line });
  if (id === undefined) return;
  if (method === "tools/call") return call(line, message);
  const list = LISTS[method];
  if (list) return reply(id, list);
  const about = { capabilities: CAPABILITIES, serverInfo: META["io.modelcontextprotocol/serverInfo"] };
  if (method === "initialize" && !modern) return reply(id, { protocolVersion: "2025-11-25", ...about });
  if (method === "server/discover" && modern) return reply(id, { supportedVersions: ["2026-07-28"], ...about });
  if (method === "initialize" || method === "server/discover")
    return send(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "not of this era" } }));
  reply(id, { received: line });
}

// By line feeds alone: readline takes U+2028 for a line's end, too, which may stand in a JSON string.
let rest = "";
process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop()!;
  for (const line of lines) handle(line);
});
