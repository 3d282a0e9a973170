import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Era, parseFrame, progressTokenOf, type RequestFrame, rewriteProgress } from "@tollgate/mcp";
import { eventually, fixtureServer, testLog } from "@tollgate/testkit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { idTextOf } from "../src/domain/outcome.ts";
import { requestMeta, responseForClient } from "../src/domain/translation.ts";
import type { Command } from "../src/launch/command.ts";
import { type CallSink, type Connection, openConnection } from "../src/upstream/connection.ts";
import { SHARED_CLIENT } from "../src/upstream/handshake.ts";
import { useContainment } from "./containment-fixture.ts";
import { startStdioTransport } from "../src/upstream/stdio-transport.ts";
import { answer, LEGACY, nodeCommand, oddCommand } from "./scripts.ts";
import { containedSpec } from "./contained-spec.ts";
import { useTempDir } from "./temp-dir.ts";

const dir = useTempDir();
const containment = await useContainment(dir);
const opened: Connection[] = [];
const ends: string[] = [];
let listsChanged = 0;
let readLog: string;

beforeEach(() => {
  ends.length = 0;
  listsChanged = 0;
  readLog = join(dir, `read-${Math.random()}`);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.end()));
});

async function open(command: Command, options: { era?: Era; startupTimeoutMs?: number; signal?: AbortSignal } = {}) {
  const contained = containment.contain(containedSpec(), command);
  const connection = await openConnection({
    open: (events) => startStdioTransport({ contained, lineMaxBytes: 1024 * 1024, events, log: testLog }),
    client: SHARED_CLIENT,
    era: options.era,
    startupTimeoutMs: options.startupTimeoutMs ?? 10_000,
    signal: options.signal ?? new AbortController().signal,
    log: testLog,
    events: {
      onEnd: (reason) => ends.push(reason),
      onListChanged: () => (listsChanged += 1),
      onResourceUpdated: () => undefined,
      onOtherEra: () => undefined,
      client: undefined,
    },
  });
  opened.push(connection);
  return connection;
}

const odd = (script: Parameters<typeof oddCommand>[0]) => oddCommand(script, { ODD_LOG: readLog });
/** What the odd server has read. */
const read = (): any[] =>
  existsSync(readLog)
    ? readFileSync(readLog, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
    : [];

function requestFrame(text: string): RequestFrame {
  const parsed = parseFrame(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.frame as RequestFrame;
}

const toolCall = (id: unknown, name: string, args: object = {}, meta: object = {}): RequestFrame =>
  requestFrame(
    JSON.stringify({ jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: args, _meta: meta } }),
  );

interface Heard {
  readonly answers: { text: string; lost?: string }[];
  readonly progress: any[];
}

const INFO = { name: "a client", version: "1" };

const UNSUPPORTED = '{"jsonrpc":"2.0","id":$id,"error":{"code":-32022,"message":"no","data":{"supported":$list}}}';

/** A call as a client sees it. */
function call(connection: Connection, frame: RequestFrame, to: Era = "legacy") {
  const heard: Heard = { answers: [], progress: [] };
  const { era: from } = connection;
  const as = { idText: idTextOf(frame.text), method: frame.method, from, to };
  const sink: CallSink = {
    owner: "",
    onAnswer: (got) =>
      heard.answers.push(
        got.kind === "lost" ? { text: "", lost: got.reason } : { text: responseForClient(got.frame, as) },
      ),
    onNotice(notice) {
      const token = progressTokenOf(frame);
      if (token !== undefined) heard.progress.push(JSON.parse(rewriteProgress(notice, token)!));
    },
    onQuestion: () => undefined,
    onCannotAsk: () => undefined,
  };
  const client = { era: to, capabilities: { roots: {} }, info: INFO };
  const caller = { client, facts: { tenant: "acme", principal: "p" } };
  const meta = requestMeta(from, caller, { clientCapabilities: [], sessionContext: false });
  return { heard, handle: connection.call(frame, sink, meta) };
}

async function answerOf(connection: Connection, frame: RequestFrame, clientEra?: Era): Promise<any> {
  const { heard } = call(connection, frame, clientEra);
  await eventually(() => expect(heard.answers).toHaveLength(1));
  return JSON.parse(heard.answers[0]!.text);
}

describe("shaking hands", () => {
  test("with a modern server", async () => {
    const connection = await open(nodeCommand(fixtureServer, { FIXTURE_ERA: "modern" }));
    expect(connection.era).toBe("modern");
    expect(JSON.parse(connection.serverInfo)).toEqual({ name: "fixture", version: "1.0.0" });
    const tools = (await connection.listOffer()).tools.map((tool) => JSON.parse(tool));
    expect(tools[0]).toMatchObject({ name: "echo", "x-unknown": { kept: 1 } });
  });

  test("with a legacy server: asked whether it is modern, then initialized", async () => {
    const connection = await open(odd(LEGACY));
    expect(connection.era).toBe("legacy");
    expect(JSON.parse(connection.serverInfo)).toEqual({ name: "odd", version: "2.0" });
    await eventually(() => {
      const methods = ["server/discover", "initialize", "notifications/initialized"];
      expect(read().map((each) => each.method)).toEqual(methods);
    });
  });

  test("with one that is known to be a legacy server: not asked", async () => {
    await open(odd(LEGACY), { era: "legacy" });
    expect(read()[0].method).toBe("initialize");
  });

  test("with one that does not answer what it does not know", async () => {
    const connection = await open(odd({ ...LEGACY, "server/discover": [] }), { startupTimeoutMs: 4_000 });
    expect(connection.era).toBe("legacy");
    // What was asked first is still open then, and fails for nobody.
    await connection.end();
  });

  test("with one that is slow to start, and speaks both eras: the newer one", async () => {
    const discovered = answer({ supportedVersions: ["2026-07-28", "2025-11-25"], capabilities: {} });
    const { command, args, ...slow } = odd({ ...LEGACY, "server/discover": [discovered] });
    const shell = ["-c", 'sleep 2.3; exec "$0" "$@"', command, ...args];
    const connection = await open({ ...slow, command: "sh", args: shell });
    expect(connection.era).toBe("modern");
    await eventually(() => expect(read().map((each) => each.method)).toContain("initialize"));
  });

  test("with one that answers what it does not know with an empty result", async () => {
    const empty = '{"jsonrpc":"2.0","id":$id,"result":{}}';
    const connection = await open(odd({ ...LEGACY, "server/discover": [empty] }));
    expect(connection.era).toBe("legacy");
  });

  test("with one that says which legacy revisions it speaks", async () => {
    const unsupported = UNSUPPORTED.replace("$list", '["2027-01-01","2025-06-18"]');
    const connection = await open(odd({ ...LEGACY, "server/discover": [unsupported] }));
    expect([connection.era, connection.protocol]).toEqual(["legacy", "2025-06-18"]);
  });

  test("with one that talks before and between", async () => {
    const noise = [
      "Server is starting...",
      '{"jsonrpc":"2.0"}',
      "[]",
      "null",
      '{"jsonrpc":"2.0","id":null,"result":1}',
    ];
    const connection = await open(odd({ ...LEGACY, start: noise, initialize: [...noise, ...LEGACY["initialize"]!] }));
    expect(connection.era).toBe("legacy");
  });
});

describe("what is not to be spoken with is said, and ended", () => {
  const script = (initialize: string) => odd({ ...LEGACY, initialize: [initialize] });

  test.each([
    [
      "initialize refused",
      () => script('{"jsonrpc":"2.0","id":$id,"error":{"code":-32603,"message":"no licence"}}'),
      'the server refused initialize: "no licence"',
    ],
    [
      "an unknown revision",
      () => script(answer({ protocolVersion: "1.0" })),
      'speaks MCP "1.0", which is not supported',
    ],
    [
      "modern, of other revisions",
      () => odd({ ...LEGACY, "server/discover": [UNSUPPORTED.replace("$list", '["2027-01-01"]')] }),
      'speaks MCP ["2027-01-01"], none of which is supported',
    ],
    ["a revision that is none", () => script(answer({ protocolVersion: { toString: 1 } })), "which is not supported"],
    ["no result", () => script('{"jsonrpc":"2.0","id":$id,"result":null}'), "which is not supported"],
    ["one that ends", () => nodeCommand(fixtureServer, { FIXTURE_START: "exit" }), "fixture: cannot open its database"],
    [
      "one that is not there",
      () => ({ ...nodeCommand(""), command: "/no/such/program" }),
      "/no/such/program was not found",
    ],
  ])("%s", async (_name, command, reason) => {
    const refused = { code: "unavailable", message: expect.stringContaining(reason) };
    await expect(open(command())).rejects.toMatchObject(refused);
    expect(ends).toHaveLength(1);
  });

  test("one that is silent", async () => {
    const hanging = open(nodeCommand(fixtureServer, { FIXTURE_START: "hang" }), { startupTimeoutMs: 200 });
    await expect(hanging).rejects.toThrow("did not answer initialize within 200 ms");
    expect(ends).toHaveLength(1);
  });

  test("one that is starting when the runner stops", async () => {
    const stopping = new AbortController();
    const hanging = open(odd({}), { startupTimeoutMs: 60_000, signal: stopping.signal });
    const refused = hanging.catch((error: unknown) => error);
    await eventually(() => expect(read()).toHaveLength(1));
    stopping.abort();
    expect(await refused).toMatchObject({ code: "unavailable" });
    expect(ends).toHaveLength(1);
  });
});

describe("listing tools", () => {
  const page = (tools: object[], nextCursor?: unknown) => answer({ tools, nextCursor });

  test("gives them as their server wrote them", async () => {
    const odds = '{ "name":"a",  "price":1.0, "big":12345678901234567890 }';
    const first = `{"jsonrpc":"2.0","id":$id,"result":{"tools":[${odds}],"nextCursor":null}}`;
    const connection = await open(odd({ ...LEGACY, "tools/list": [first] }));
    expect((await connection.listOffer()).tools).toEqual([odds]);
  });

  test("ends where a cursor comes again", async () => {
    const again = await open(odd({ ...LEGACY, "tools/list": [page([{ name: "a" }], "again")] }));
    expect((await again.listOffer()).tools).toEqual(['{"name":"a"}']);
    expect(new Set(read().map((each) => each.params?.cursor))).toEqual(new Set([undefined, "again"]));
  });

  test.each([
    ["no tools at all", ['{"jsonrpc":"2.0","id":$id,"error":{"code":-32601,"message":"no"}}']],
    ["a result of nothing", ['{"jsonrpc":"2.0","id":$id,"result":null}']],
    ["tools that are no list", [answer({ tools: { a: 1 } })]],
  ])("%s", async (_name, lines) => {
    const connection = await open(odd({ ...LEGACY, "tools/list": lines }));
    expect((await connection.listOffer()).tools).toEqual([]);
  });

  test.each([
    [
      "an error",
      ['{"jsonrpc":"2.0","id":$id,"error":{"code":-32603,"message":"later"}}'],
      'tools/list failed: "later"',
    ],
    ["too many", [page(Array.from({ length: 2_001 }, (_each, i) => ({ name: `t${i}` })))], "more than 2000 tools"],
  ])("%s: the reason", async (_name, lines, reason) => {
    const connection = await open(odd({ ...LEGACY, "tools/list": lines }));
    await expect(connection.listOffer()).rejects.toThrow(reason);
  });
});

describe("calls", () => {
  test.each([["text"], [7], [0], [-1], [1.5], ["7"], [""]])("id %j comes back as it was", async (id) => {
    const connection = await open(nodeCommand(fixtureServer));
    expect((await answerOf(connection, toolCall(id, "echo", { message: "m" }))).id).toBe(id);
  });

  test("with one id from many clients at the same time get each its own answer", async () => {
    const connection = await open(nodeCommand(fixtureServer));
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_each, n) => answerOf(connection, toolCall(1, "echo", { message: `m${n}` }))),
    );
    expect(answers.map(({ result }) => result.content[0].text)).toEqual(answers.map((_each, n) => `m${n}`));
    expect(connection.inFlight).toBe(0);
  });

  test("a server that makes strings of our ids is understood", async () => {
    const lines = [answer({ ok: 1 }).replace("$id", '"$id"')];
    const connection = await open(odd({ ...LEGACY, "tools/call": lines }));
    expect((await answerOf(connection, toolCall("x", "any"))).result).toEqual({ ok: 1 });
  });

  test("between the eras: a modern server gets what each request has to say of the client", async () => {
    const connection = await open(nodeCommand(fixtureServer, { FIXTURE_ERA: "modern" }));
    const { result } = await answerOf(connection, toolCall(1, "echo", { message: "m" }, { own: 1 }));
    expect(result._meta.received).toMatchObject({
      own: 1,
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": INFO,
      "io.modelcontextprotocol/clientCapabilities": {},
    });
  });

  test("between the eras: a modern client gets a result's type from a legacy server", async () => {
    const connection = await open(odd({ ...LEGACY, "tools/call": [answer({ content: [] })] }));
    expect((await answerOf(connection, toolCall(1, "any"), "modern")).result).toEqual({
      resultType: "complete",
      content: [],
    });
    expect((await answerOf(connection, toolCall(1, "any"), "legacy")).result).toEqual({ content: [] });
  });

  test("an error is passed on, whatever is in it", async () => {
    const error = '{"code":{"toString":1},"message":[],"data":{"kept":1.0}}';
    const connection = await open(odd({ ...LEGACY, "tools/call": [`{"jsonrpc":"2.0","id":$id,"error":${error}}`] }));
    expect((await answerOf(connection, toolCall(1, "any"))).error).toEqual(JSON.parse(error));
  });

  test("are lost when the process ends, and later ones at once", async () => {
    const connection = await open(nodeCommand(fixtureServer));
    const slow = call(connection, toolCall(1, "sleep", { ms: 60_000 }));
    const crashing = call(connection, toolCall(2, "crash"));
    await eventually(() => expect(connection.ended).toBe("exited with code 3"));
    expect(slow.heard.answers).toEqual([{ text: "", lost: "exited with code 3" }]);
    expect(crashing.heard.answers).toEqual([{ text: "", lost: "exited with code 3" }]);
    const late = call(connection, toolCall(3, "echo"));
    await eventually(() => expect(late.heard.answers).toEqual([{ text: "", lost: "exited with code 3" }]));
    expect(ends).toEqual(["exited with code 3"]);
  });
});

describe("progress", () => {
  test.each([["token"], [5], ["5"]])("bears the client's own token %j", async (progressToken) => {
    const connection = await open(nodeCommand(fixtureServer));
    const { heard } = call(connection, toolCall(1, "progress", { steps: 3 }, { progressToken }));
    await eventually(() => expect(heard.answers).toHaveLength(1));
    expect(heard.progress.map((each) => each.params)).toEqual(
      [1, 2, 3].map((progress) => ({ progressToken, progress, total: 3 })),
    );
  });

  test("of clients with the same token does not get mixed up", async () => {
    const connection = await open(nodeCommand(fixtureServer));
    const one = call(connection, toolCall(1, "progress", { steps: 2 }, { progressToken: 1 }));
    const two = call(connection, toolCall(1, "progress", { steps: 5 }, { progressToken: 1 }));
    const none = call(connection, toolCall(1, "progress", { steps: 3 }));
    await eventually(() => expect([one, two, none].map(({ heard }) => heard.answers.length)).toEqual([1, 1, 1]));
    expect([one, two, none].map(({ heard }) => heard.progress.length)).toEqual([2, 5, 0]);
  });

  test("after the answer, for nobody, or of an odd kind is dropped", async () => {
    const progress = (token: string) =>
      `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":1}}`;
    const odds = ['{"toString":1}', "null", "[]", "999", '"x"'].map(progress);
    const lines = [...odds, progress("$token"), answer({}), progress("$token")];
    const connection = await open(odd({ ...LEGACY, "tools/call": lines }));
    const { heard } = call(connection, toolCall(1, "any", {}, { progressToken: "mine" }));
    await eventually(() => expect(heard.answers).toHaveLength(1));
    await answerOf(connection, toolCall(2, "any"));
    expect(heard.progress.map((each) => each.params)).toEqual([{ progressToken: "mine", progress: 1 }]);
  });
});

describe("cancelling", () => {
  test.each([["legacy"], ["modern"]] as const)("tells a %s server, and drops what it still answers", async (era) => {
    const script = {
      ...LEGACY,
      ...(era === "modern" ? { "server/discover": [answer({ supportedVersions: ["2026-07-28"] })] } : {}),
      "notifications/cancelled": [
        '{"jsonrpc":"2.0","id":3,"result":{"late":true}}',
        '{"jsonrpc":"2.0","id":2,"result":{}}',
      ],
    };
    const connection = await open(odd(script));
    const { heard, handle } = call(connection, toolCall("c", "slow"));
    await eventually(() => expect(read().at(-1)?.method).toBe("tools/call"));
    handle.cancel("nobody waits");
    handle.cancel("a second time is nothing");
    await eventually(() => expect(read().at(-1)?.method).toBe("notifications/cancelled"));
    const [request, ...cancels] = read().slice(read().findIndex((each) => each.method === "tools/call"));
    expect(cancels).toEqual([
      expect.objectContaining({
        params: expect.objectContaining({ requestId: request.id, reason: "nobody waits" }),
      }),
    ]);
    expect(cancels[0].params._meta !== undefined).toBe(era === "modern");
    expect(heard.answers).toEqual([]);
    expect(connection.inFlight).toBe(0);
  });
});

describe("the server's own messages", () => {
  test("a ping is answered, a request for what the client does not offer is refused", async () => {
    const asks = ['{"jsonrpc":"2.0","id":"p1","method":"ping"}', '{"jsonrpc":"2.0","id":4,"method":"roots/list"}'];
    await open(odd({ ...LEGACY, "notifications/initialized": asks }));
    await eventually(() =>
      expect(read().slice(-2)).toEqual([
        { jsonrpc: "2.0", id: "p1", result: {} },
        {
          jsonrpc: "2.0",
          id: 4,
          error: { code: -32601, message: "the client of this connection does not support roots/list" },
        },
      ]),
    );
  });

  test("come in batches of 2025-03-26", async () => {
    const batch = `[{"jsonrpc":"2.0","id":"p1","method":"ping"},${answer({ ok: 1 })}]`;
    const connection = await open(odd({ ...LEGACY, "tools/call": [batch] }));
    expect((await answerOf(connection, toolCall(1, "any"))).result).toEqual({ ok: 1 });
    await eventually(() => expect(read().at(-1)).toEqual({ jsonrpc: "2.0", id: "p1", result: {} }));
  });

  test("changed tools are noticed, other notifications are not", async () => {
    const notice = (method: string) => `{"jsonrpc":"2.0","method":"notifications/${method}"}`;
    const lines = [notice("message"), notice("progress"), notice("tools/list_changed"), answer({})];
    const connection = await open(odd({ ...LEGACY, "tools/call": lines }));
    await answerOf(connection, toolCall(1, "any"));
    expect(listsChanged).toBe(1);
  });

  test("garbage disturbs nobody", async () => {
    const connection = await open(nodeCommand(fixtureServer));
    const { result } = await answerOf(connection, toolCall(1, "garbage"));
    expect(result.content[0].text).toBe("after the garbage");
    expect(connection.ended).toBeUndefined();
  });

  test("a line that is too long ends it, and its calls with the reason", async () => {
    const connection = await open(nodeCommand(fixtureServer));
    const { heard } = call(connection, toolCall(1, "flood", { bytes: 3 * 1024 * 1024 }));
    await eventually(() =>
      expect(heard.answers).toEqual([{ text: "", lost: "wrote a line longer than 1048576 bytes (limits.output_mb)" }]),
    );
  });
});
