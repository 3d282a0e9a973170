import { eventually, fixtureServer, legacyClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import { beforeAll, expect, test } from "vitest";

const CALLS = 100;

const infra = useInfrastructure();
const system = useSystem(infra, {
  yaml: `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: stateful, group: demo, type: node, command: ${fixtureServer}, pool: { mode: session, min: 0, max: 8, max_per_tenant: 8 } }
policies:
  - { name: all, effect: allow, principals: ["token:caller"], actions: ["tools/call"], resources: ["*:*"] }
`,
});

interface Tally {
  readonly tally: number;
  readonly pid: number;
}

async function openSession() {
  const client = await legacyClient({ url: `${system.gatewayUrl}/mcp`, token: system.token });
  return async (): Promise<Tally> => {
    const { last } = await client.request("tools/call", { name: "stateful__tally", arguments: {} });
    expect(last).toHaveProperty("result");
    return JSON.parse(last.result.content[0].text);
  };
}
async function inTurn(sessions: readonly (() => Promise<Tally>)[], rounds: number): Promise<Tally[][]> {
  const tallies: Tally[][] = sessions.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const now = await Promise.all(sessions.map((tally) => tally()));
    now.forEach((each, i) => tallies[i]!.push(each));
  }
  return tallies;
}

beforeAll(async () => {
  await eventually(async () => {
    const headers = { authorization: `Bearer ${system.adminToken}` };
    const { items } = (await (await fetch(`${system.gatewayUrl}/api/v1/servers`, { headers })).json()) as any;
    expect(items).toMatchObject([{ id: "stateful", status: "ready" }]);
  });
});

test("a session keeps its process and its state while its group has one runner, three, and one again", async () => {
  const sessions = [await openSession(), await openSession(), await openSession()];
  const withOne = await inTurn(sessions, CALLS / 4);
  const more = [await system.startRunner(), await system.startRunner()];
  // Begun with three runners: wherever they are, their calls are answered when it is gone, by a process that begins anew.
  const late = await Promise.all(Array.from({ length: 4 }, openSession));
  const [withThree] = await Promise.all([inTurn(sessions, CALLS / 2), inTurn(late, CALLS / 2)]);
  await Promise.all(more.map((runner) => runner.stop("SIGTERM")));
  const [withOneAgain, lateOnes] = await Promise.all([inTurn(sessions, CALLS / 4), inTurn(late, CALLS / 4)]);

  const wanted = Array.from({ length: CALLS }, (_each, n) => n + 1);
  const pids = sessions.map((_each, i) => {
    const all = [...withOne[i]!, ...withThree[i]!, ...withOneAgain[i]!];
    expect(all.map(({ tally }) => tally)).toEqual(wanted);
    expect(new Set(all.map(({ pid }) => pid)).size).toBe(1);
    return all[0]!.pid;
  });
  expect(new Set(pids).size, "each session has a process of its own").toBe(pids.length);
  for (const tallies of lateOnes) expect(new Set(tallies.map(({ pid }) => pid)).size).toBe(1);
}, 90_000);
