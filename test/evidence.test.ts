import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const COMMAND = join(import.meta.dirname, "../tools/tollgate/src/main.ts");
/** Whoever tries to reach anything fails. */
const OFFLINE = `data:text/javascript,import net from "node:net"; import dns from "node:dns";
net.Socket.prototype.connect = dns.lookup = () => { throw new Error("there is no network"); };`;
const CALLS = 8;

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers: [{ id: echo, group: demo, type: node, command: ${fixtureServer} }]
policies:
  - { name: allow, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["*"] }
  - { name: rivals-auditor, effect: allow, principals: ["token:other"], actions: ["admin/audit/read", "admin/audit/verify", "admin/audit/signing-keys/write"], resources: ["*"] }
`,
});
let dir: string;
let file: string;

async function api(path: string, { method = "GET", token = system.adminToken } = {}): Promise<Response> {
  return fetch(`${system.gatewayUrl}/api/v1/audit${path}`, { method, headers: { authorization: `Bearer ${token}` } });
}

/** `tollgate audit …`. */
async function tollgate(
  words: readonly string[],
  options: readonly string[] = [],
): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [...options, COMMAND, "audit", ...words], {
    env: { PATH: process.env["PATH"], INIT_CWD: dir },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (piece: string) => (text += piece));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, text };
}

async function written(name: string, text: string): Promise<string> {
  await writeFile(join(dir, name), text);
  return name;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tollgate-evidence-"));
  const connect = { gatewayUrl: system.gatewayUrl, adminToken: system.adminToken, token: system.token };
  await writeFile(join(dir, "connect.json"), JSON.stringify(connect));
  const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  await eventually(async () => {
    const { last } = await client.request("tools/call", { name: "echo__echo", arguments: { message: "ready" } });
    expect(last).toHaveProperty("result");
  });
  for (let at = 0; at < CALLS; at++)
    await client.request("tools/call", { name: "echo__echo", arguments: { message: `call ${at}` } });
  await eventually(async () => {
    const { items } = (await (await api("/chains?tenant=acme")).json()) as {
      items: { kind: string; lastNumber: number }[];
    };
    expect(items.find(({ kind }) => kind === "call")?.lastNumber).toBeGreaterThan(CALLS);
  });
  file = "evidence.ndjson";
  const fetched = await tollgate(["evidence", "--kind", "call", "--state", dir, "-o", file]);
  expect(fetched).toMatchObject({ code: 0, text: expect.stringContaining("tollgate audit verify") as string });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

interface Line {
  type: string;
  line: string;
  number: number;
}

describe("evidence", () => {
  test("is proven without the network", async () => {
    const { code, text } = await tollgate(["verify", file], ["--import", OFFLINE]);
    expect(text).toMatch(/^Proven: \d+ events in 1 chain under \d+ checkpoints?, as of /);
    expect(text).toMatch(/acme\/call 1 to \d+\nSigned by key [0-9a-f]{16}, as it says itself/);
    expect(code).toBe(0);
  });

  test("is proven by the key that the installation names, and by no other", async () => {
    const { items } = (await (await api("/signing-keys")).json()) as { items: { id: string; publicKey: string }[] };
    const [key] = items;
    await written("key.pem", key!.publicKey);
    for (const pin of [key!.id, "key.pem"]) {
      const { code, text } = await tollgate(["verify", file, "--key", pin]);
      expect(text).toContain("which the given key vouches for");
      expect(code).toBe(0);
    }
    expect(await tollgate(["verify", file, "--key", "0".repeat(16)])).toMatchObject({ code: 1 });
  });

  test("names what was changed, removed and put in", async () => {
    const lines = (await readFile(join(dir, file), "utf8")).trimEnd().split("\n");
    const at = lines.findIndex((line) => line.startsWith('{"type":"event"'));
    const { line, number } = JSON.parse(lines[at]!) as Line;
    const { id } = JSON.parse(line) as { id: string };
    const changed = JSON.stringify({
      type: "event",
      number,
      line: line.replace('"outcome":"ok"', '"outcome":"error"'),
    });
    const cases = [
      [lines.with(at, changed), `CHANGED acme/call ${number} (event ${id}): `],
      [lines.toSpliced(at, 1), `REMOVED acme/call ${number}: `],
      [lines.toSpliced(at, 0, lines[at]!), `INSERTED acme/call ${number} (event ${id}): `],
    ] as const;
    for (const [given, said] of cases) {
      const { code, text } = await tollgate(["verify", await written("forged.ndjson", given.join("\n"))]);
      expect(text).toContain(said);
      expect(text).toContain("Not proven: 1 finding.");
      expect(code).toBe(1);
    }
    const { text } = await tollgate(["verify", "--json", await written("forged.ndjson", cases[0][0].join("\n"))]);
    const [finding, summary] = text
      .trimEnd()
      .split("\n")
      .map((each) => JSON.parse(each) as unknown);
    expect(finding).toMatchObject({ tenant: "acme", kind: "call", number, eventId: id, what: "changed" });
    expect(summary).toMatchObject({ findings: 1, chains: 1 });
  });

  test("is not looked at where the command is wrong", async () => {
    const mistakes = [
      ["verify"],
      ["verify", file, file],
      ["verify", "absent.ndjson"],
      ["verify", file, "--key", "absent.pem"],
      ["verify", file, "--unknown"],
      ["proof", "absent.json"],
      ["proof", file],
      ["unknown"],
    ];
    for (const words of mistakes) expect(await tollgate(words), words.join(" ")).toMatchObject({ code: 2 });
    expect((await tollgate(["verify", await written("empty", "")])).code).toBe(1);
    expect((await tollgate(["verify", await written("other", "not evidence\n")])).code).toBe(1);
  });

  test("of one event is proven", async () => {
    const { items } = (await (await api("/events?kind=call&limit=1&tenant=acme")).json()) as {
      items: { id: string }[];
    };
    const { id } = items[0]!;
    await eventually(async () => {
      const given = (await (await api(`/events/${id}`)).json()) as { event: { id: string }; proof: object | null };
      expect(given.event.id).toBe(id);
      expect(given.proof).not.toBeNull();
      await written("event.json", JSON.stringify(given));
    });
    const { code, text } = await tollgate(["proof", "event.json"], ["--import", OFFLINE]);
    expect(text).toMatch(/^Proven: the event is acme\/call \d+ of the record\./);
    expect(code).toBe(0);
    const forged = (await readFile(join(dir, "event.json"), "utf8")).replace(
      '\\"outcome\\":\\"ok\\"',
      '\\"outcome\\":\\"error\\"',
    );
    const refused = await tollgate(["proof", await written("forged.json", forged)]);
    expect(refused).toMatchObject({ code: 1, text: "Not proven: the event is not what was recorded\n" });
  });

  test("is on record itself: who was given it", async () => {
    await api("/verify", { method: "POST" }).then((response) => response.text());
    await eventually(async () => {
      const { items } = (await (await api("/events?kind=access")).json()) as { items: Record<string, unknown>[] };
      expect(items).toContainEqual(
        expect.objectContaining({ action: "evidence", principal: "admin", query: { kind: "call" } }),
      );
      expect(items).toContainEqual(expect.objectContaining({ action: "verify", principal: "admin" }));
    });
  });
});

describe("the record where it is stored", () => {
  test("is verified", async () => {
    const response = await api("/verify?tenant=acme", { method: "POST" });
    expect(response.headers.get("content-type")).toContain("application/x-ndjson");
    const lines = (await response.text()).trimEnd().split("\n");
    const last = JSON.parse(lines.at(-1)!) as { eventsVerified: number };
    expect(last).toMatchObject({ done: true, findings: [] });
    expect(last.eventsVerified).toBeGreaterThan(CALLS);
  });

  test("is shown to other tenants as far as it is theirs", async () => {
    const token = system.tokenOf("other");
    const { items } = (await (await api("/chains", { token })).json()) as { items: { tenant: string }[] };
    expect(items.every(({ tenant }) => tenant === "rival")).toBe(true);
    expect((await api("/chains?tenant=acme", { token })).status).toBe(403);
    expect((await api("/evidence?tenant=acme", { token })).status).toBe(403);
    expect((await api("/verify?tenant=acme", { method: "POST", token })).status).toBe(403);
    expect((await api("/signing-keys", { method: "POST", token })).status).toBe(403);
    const call = (await (await api("/events?kind=call&limit=1&tenant=acme")).json()) as { items: { id: string }[] };
    expect((await api(`/events/${call.items[0]!.id}`, { token })).status).toBe(404);
    expect(await (await api("/evidence", { token })).text()).not.toContain('"tenant":"acme"');
    expect((await api("/evidence", { token: system.token })).status).toBe(403);
  });

  test("is signed by a new key once it was rotated, and old evidence is still proven by the new one", async () => {
    const response = await api("/signing-keys", { method: "POST" });
    expect(response.status).toBe(201);
    const { id } = (await response.json()) as { id: string };
    const fetched = await tollgate(["evidence", "--tenant", "acme", "--state", dir, "-o", "rotated.ndjson"]);
    expect(fetched.code).toBe(0);
    const { code, text } = await tollgate(["verify", "rotated.ndjson", "--key", id]);
    expect(text).toContain("Proven: ");
    expect(code).toBe(0);
    await eventually(async () => {
      const { items } = (await (await api("/events?kind=change")).json()) as { items: unknown[] };
      expect(items).toContainEqual(
        expect.objectContaining({ resource: "signing_key", change: "rotated", name: id, principal: "admin" }),
      );
    });
  });
});
