// Any frame that the SDK's schemas accept passes as it is, but for what has to be another on the other side; any bytes at
// all that a server writes disturb nobody.
import { join } from "node:path";
import {
  type Frame,
  parseFrame,
  parseJson,
  progressTokenOf,
  type RequestFrame,
  type ResponseFrame,
  rewriteRequest,
  rewriteResponse,
} from "@tollgate/mcp";
import { eventually, openPeer, type Peer, type Revision, useInfrastructure, useSystem } from "@tollgate/testkit";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import {
  anything,
  REQUEST_SCHEMAS,
  requestTexts,
  RESULT_SCHEMAS,
  resultTexts,
  type Schema,
  write,
} from "./frames/arbitraries.ts";
import { lossless, treeText } from "./frames/lossless.ts";

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- each caller says which kind it wrote
function frameOf<F extends Frame>(text: string): F {
  const parsed = parseFrame(text);
  if (!parsed.ok) throw new Error(`${parsed.reason}: ${text}`);
  return parsed.frame as F;
}

/** The same message as its server gets it: with our id, and our progress token where it has one. */
function asSent(text: string, id: number): string {
  const tree = lossless(text);
  tree.id = { spelled: String(id) };
  const meta = tree.params?._meta;
  if (meta?.progressToken !== undefined) meta.progressToken = { spelled: String(id) };
  return treeText(tree);
}

describe("packages/mcp", () => {
  test("there are schemas to look at", () => {
    expect(REQUEST_SCHEMAS.length).toBeGreaterThan(15);
    expect(RESULT_SCHEMAS.length).toBeGreaterThan(12);
  });

  test.each(REQUEST_SCHEMAS)("%s: nothing but id and progress token changes", (_name, schema) => {
    fc.assert(
      fc.property(requestTexts(schema), (text) => {
        const frame = frameOf<RequestFrame>(text);
        const { text: sent, idText, progressTokenText } = rewriteRequest(frame, { id: 71 });
        expect(treeText(lossless(sent))).toBe(asSent(text, 71));
        expect(JSON.parse(idText)).toEqual(frame.id);
        expect(progressTokenText).toBe(progressTokenOf(frame));
      }),
    );
  });

  test.each(REQUEST_SCHEMAS)("%s: what is added to _meta takes nothing away", (_name, schema) => {
    fc.assert(
      fc.property(requestTexts(schema), (text) => {
        const { text: sent } = rewriteRequest(frameOf<RequestFrame>(text), { id: 71, meta: { added: "yes" } });
        const tree = lossless(sent);
        expect(tree.params._meta.added).toBe("yes");
        delete tree.params._meta.added;
        const given: any = parseJson(asSent(text, 71));
        // Where there was no _meta, or there were no params, they are there now, and empty.
        expect(tree).toEqual({ ...given, params: { ...given.params, _meta: given.params?._meta ?? {} } });
      }),
    );
  });

  test.each(RESULT_SCHEMAS)("%s: a result passes whole", (_name, schema) => {
    fc.assert(
      fc.property(resultTexts(schema), fc.oneof(fc.string(), fc.integer()), (result, id) => {
        const text = `{"jsonrpc":"2.0","id":7,"result":${result}}`;
        const passed = rewriteResponse(frameOf<ResponseFrame>(text), { idText: JSON.stringify(id) });
        expect(passed).toBe(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`);
      }),
    );
  });
});

const ECHO = join(import.meta.dirname, "frames/echo-server.ts");
const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: old, group: demo, type: node, command: ${ECHO} }
  - { id: new, group: demo, type: node, command: ${ECHO}, env: { ECHO_ERA: modern } }
policies:
  - { name: all, effect: allow, principals: ["token:caller"], actions: ["tools/call", "prompts/get", "resources/read"], resources: ["*"] }
`,
});

const ERAS = [
  ["old", "2025-11-25"],
  ["new", "2026-07-28"],
] as const;

function connect(server: string, revision: Revision, more: object = {}): Promise<Peer> {
  return openPeer({ revision, to: { url: `${system.gatewayUrl}/mcp/demo/${server}`, token: system.token }, ...more });
}

async function tool(peer: Peer, name: string, raw: string): Promise<any> {
  return peer.request("tools/call", { name, arguments: { raw } });
}

beforeAll(async () => {
  for (const [server, revision] of ERAS)
    await eventually(async () => {
      const peer = await connect(server, revision);
      expect((await tool(peer, "echo", "")).result.received).toContain("tools/call");
      await peer.close();
    });
}, 60_000);

const schemaOf = (name: string): Schema => [...REQUEST_SCHEMAS, ...RESULT_SCHEMAS].find(([each]) => each === name)![1];
const SYSTEM_RUNS = { numRuns: 40 };

describe("the whole system", () => {
  test.each(["GetPromptRequestSchema", "ReadResourceRequestSchema"])("%s, to a legacy server", async (name) => {
    const peer = await connect("old", "2025-11-25");
    await fc.assert(
      fc.asyncProperty(requestTexts(schemaOf(name)), async (text) => {
        const { id } = JSON.parse(text) as { id: string | number };
        await peer.send(text, { id });
        const { message } = peer.received.at(-1)!;
        expect(message).toMatchObject({ id, result: { received: expect.any(String) } });
        const sent = lossless(message.result.received);
        expect(treeText(sent)).toBe(asSent(text, Number(sent.id.spelled)));
      }),
      SYSTEM_RUNS,
    );
    await peer.close();
  });

  const calls = fc.record({ args: fc.dictionary(fc.string(), anything, { noNullPrototype: true }), more: anything });
  test.each(ERAS)("tools/call with any arguments, to the %s server", async (server, revision) => {
    const peer = await connect(server, revision);
    await fc.assert(
      fc.asyncProperty(calls, async ({ args, more }) => {
        const meta =
          revision === "2026-07-28"
            ? {
                ...JSON.parse('{"io.modelcontextprotocol/clientCapabilities":{}}'),
                "io.modelcontextprotocol/protocolVersion": revision,
              }
            : {};
        const params = { name: "echo", "x-more": more, arguments: args, _meta: { ...meta, "x-own": more } };
        const text = write({ jsonrpc: "2.0", id: "any", method: "tools/call", params }, " ");
        await peer.send(text, { id: "any", headers: { "mcp-method": "tools/call", "mcp-name": "echo" } });
        const { result } = peer.received.at(-1)!.message;
        const sent = lossless(result.received);
        expect(treeText(sent)).toBe(asSent(text, Number(sent.id.spelled)));
      }),
      SYSTEM_RUNS,
    );
    await peer.close();
  });

  test.each(ERAS)("results, of the %s server", async (server, revision) => {
    const peer = await connect(server, revision);
    const results = fc.oneof(
      ...["CallToolResultSchema", "CompatibilityCallToolResultSchema"].map((name) => resultTexts(schemaOf(name))),
    );
    await fc.assert(
      fc.asyncProperty(results, async (result) => {
        await peer.request("tools/call", { name: "answer", arguments: { raw: result } }, { id: "r" });
        expect(peer.received.at(-1)!.text).toBe(`{"jsonrpc":"2.0","id":"r","result":${result}}`);
      }),
      SYSTEM_RUNS,
    );
    await peer.close();
  });

  test.each(["CreateMessageRequestSchema", "ElicitRequestSchema"])("%s, from a server to its client", async (name) => {
    const answers = { "sampling/createMessage": () => ({ own: 1 }), "elicitation/create": () => ({ own: 1 }) };
    const capabilities = { sampling: {}, elicitation: {} };
    const peer = await connect("old", "2025-11-25", { answers, capabilities });
    await fc.assert(
      fc.asyncProperty(requestTexts(schemaOf(name)), async (text) => {
        const { id } = JSON.parse(text) as { id: string | number };
        const { result } = await tool(peer, "ask", text);
        expect(JSON.parse(result.received)).toEqual({ jsonrpc: "2.0", id, result: { own: 1 } });
        const asked = peer.received.findLast(({ message }) => "method" in message && "id" in message)!;
        const { id: ours, ...others } = lossless(asked.text);
        expect(typeof ours).toBe("string");
        const { id: _own, ...written } = lossless(text);
        expect(treeText(others)).toBe(treeText(written));
      }),
      SYSTEM_RUNS,
    );
    await peer.close();
  });
});

describe("any bytes at all from a server", () => {
  /** Texts that come close to what the other side expects. */
  const nearly = fc
    .record(
      {
        jsonrpc: fc.constantFrom("2.0", "1.0", 2),
        id: fc.oneof(fc.nat(400), fc.string(), fc.constant(null), fc.constant({})),
        method: fc.oneof(fc.constantFrom("ping", "sampling/createMessage", "notifications/progress", "x", 7)),
        params: anything,
        result: anything,
        error: anything,
      },
      { requiredKeys: [], noNullPrototype: true },
    )
    .map((message) => Buffer.from(write(message, "")));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each)),
    nearly,
    fc
      .array(nearly, { maxLength: 4 })
      .map((lines) => Buffer.concat(lines.flatMap((line) => [line, Buffer.from("\n")]))),
    anything.map((value) => Buffer.from(write(value, " "))),
  );

  test.each(ERAS)("the %s server's client gets one answer, and no process ends", async (server, revision) => {
    const [runner, gateway] = [system.pid("runner"), system.pid("gateway")];
    const capabilities = { sampling: {}, elicitation: {}, roots: {} };
    const peer = await connect(server, revision, { capabilities });
    await fc.assert(
      fc.asyncProperty(bytes, async (written) => {
        const answer = await tool(peer, "write", written.toString("base64"));
        // One of what was written may have been an answer to it.
        expect("result" in answer !== "error" in answer).toBe(true);
      }),
      { numRuns: 100 },
    );
    await peer.close();
    const after = await connect(server, revision);
    expect((await tool(after, "write", "")).result).toMatchObject({ content: [{ type: "text", text: "written" }] });
    await after.close();
    for (const pid of [runner, gateway]) expect(process.kill(pid, 0)).toBe(true);
  });
});
