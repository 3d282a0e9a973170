/**
 * A stdio MCP server for tests, with a tool for each way a server can behave (fixture-tools.ts). It speaks raw
 * JSON-RPC, so that it can also misbehave. Run it with `node fixture-server.ts`; environment:
 * - FIXTURE_ERA: `legacy` (default) or `modern`
 * - FIXTURE_COUNT_FILE: `count` appends one line to it per execution: what really ran, whatever was answered
 * - FIXTURE_TOOLS_FILE: JSON of more tools, read at each list; `say` can tell that they have changed
 * - FIXTURE_START: `exit` (ends at once), `hang` (never answers)
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fail, type Message, modern, reply, send, takeAnswer } from "./fixture-protocol.ts";
import { answerTask, callTool, cancel, hear, rememberClient, TOOLS } from "./fixture-tools.ts";

const serverInfo = { name: "fixture", version: "1.0.0" };
const CAPABILITIES = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  completions: {},
  ...(modern
    ? { extensions: { "io.modelcontextprotocol/tasks": {} } }
    : { logging: {}, tasks: { list: {}, cancel: {} } }),
};
const RESOURCES = ["fixture://one", "fixture://two"].map((uri) => ({ uri, name: uri.slice(-3), "x-unknown": 1.5 }));
const subscribed = new Set<string>();
let logLevel: unknown = "none";
/** Of a modern client, by the id of its request. */
const listening = new Map<Message["id"], any>();

type Answer = (message: Message) => unknown;

function moreTools(): object[] {
  const file = process.env["FIXTURE_TOOLS_FILE"];
  return file === undefined ? [] : (JSON.parse(readFileSync(file, "utf8")) as object[]);
}

const LEGACY_ONLY: Record<string, Answer> = {
  initialize({ id, params }) {
    rememberClient(params);
    const protocolVersion = params?.["protocolVersion"] ?? "2025-11-25";
    reply(id, { protocolVersion, capabilities: CAPABILITIES, serverInfo, instructions: "Be gentle." });
  },
  ping: ({ id }) => reply(id, {}),
  "logging/setLevel"({ id, params }) {
    logLevel = params?.["level"];
    reply(id, {});
  },
  "resources/subscribe"({ id, params }) {
    subscribed.add(String(params?.["uri"]));
    reply(id, {});
  },
  "resources/unsubscribe"({ id, params }) {
    subscribed.delete(String(params?.["uri"]));
    reply(id, {});
  },
};

const MODERN_ONLY: Record<string, Answer> = {
  "server/discover": ({ id }) =>
    cacheable(id, {
      supportedVersions: ["2026-07-28"],
      capabilities: CAPABILITIES,
      instructions: "Be gentle.",
      _meta: { "io.modelcontextprotocol/serverInfo": serverInfo },
    }),
  "subscriptions/listen"({ id, params }) {
    const notifications = params?.["notifications"];
    listening.set(id, notifications);
    const _meta = { "io.modelcontextprotocol/subscriptionId": id };
    send({ method: "notifications/subscriptions/acknowledged", params: { _meta, notifications } });
  },
};

const BOTH: Record<string, Answer> = {
  "tools/list": ({ id }) => cacheable(id, { tools: [...TOOLS, ...moreTools()] }),
  "tools/call": callTool,
  "prompts/list": ({ id }) => cacheable(id, { prompts: [{ name: "greet", arguments: [{ name: "who" }] }] }),
  "prompts/get": ({ id, params }) =>
    reply(id, {
      messages: [{ role: "user", content: { type: "resource", resource: { uri: "fixture://one", text: "1" } } }],
      description: `hello ${String(params?.arguments?.["who"])}`,
    }),
  // Two pages.
  "resources/list": ({ id, params }) =>
    params?.["cursor"] === undefined
      ? cacheable(id, { resources: RESOURCES.slice(0, 1), nextCursor: "more" })
      : cacheable(id, { resources: RESOURCES.slice(1) }),
  "resources/templates/list": ({ id }) =>
    cacheable(id, { resourceTemplates: [{ uriTemplate: "fixture://item/{id}", name: "item" }] }),
  "resources/read"({ id, params }) {
    const uri = String(params?.["uri"]);
    if (uri === "fixture://state") {
      const state = { subscribed: [...subscribed], logLevel, listening: [...listening.values()] };
      return cacheable(id, { contents: [{ uri, text: JSON.stringify(state) }] });
    }
    if (!uri.startsWith("fixture://item/") && !RESOURCES.some((each) => each.uri === uri))
      return fail(id, modern ? -32602 : -32002, "Resource not found", { uri });
    return cacheable(id, { contents: [{ uri, text: `text of ${uri}` }] });
  },
  "completion/complete": ({ id, params }) =>
    reply(id, { completion: { values: [`${String(params?.["argument"]?.value)}!`] } }),
};

function cacheable(id: Message["id"], result: object): void {
  reply(id, { ...result, ...(modern ? { ttlMs: 0, cacheScope: "private" } : {}) });
}

async function handle(message: Message): Promise<void> {
  const { id, method, params } = message;
  if (method === undefined) return takeAnswer(message);
  if (method === "notifications/cancelled") {
    listening.delete(params?.["requestId"]);
    return cancel(params?.["requestId"]);
  }
  if (id === undefined) return hear(message);
  if (modern && params?._meta?.["io.modelcontextprotocol/protocolVersion"] !== "2026-07-28")
    return fail(id, method === "initialize" ? -32601 : -32602, "the _meta envelope is missing");
  if (method.startsWith("tasks/")) return answerTask(message);
  const answer = BOTH[method] ?? (modern ? MODERN_ONLY : LEGACY_ONLY)[method];
  if (answer) await answer(message);
  else fail(id, -32601, "Method not found");
}

if (process.env["FIXTURE_START"] === "exit") {
  process.stderr.write("fixture: cannot open its database\n");
  process.exit(4);
}
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  if (process.env["FIXTURE_START"] !== "hang") void handle(JSON.parse(line) as Message);
});
