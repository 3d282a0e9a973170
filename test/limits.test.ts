import {
  eventually,
  fixtureServer,
  modernClient,
  processesMarked,
  useInfrastructure,
  useSystem,
} from "@tollgate/testkit";
import { beforeAll, expect, test } from "vitest";

// Tools that harm their machine, through the whole system: each is stopped at its limit, its caller learns at which,
// nobody else notices, and nothing is left.

const infra = useInfrastructure();
const mark = infra.busPrefix;
const bad = `id: bad, group: demo, type: node, command: ${fixtureServer}, env: { LIMITS_TEST: ${mark} }`;
const limits = "limits: { memory_mb: 256, cpu: 0.5, processes: 24, output_mb: 1, call_timeout: 4 }";
const yaml = `
groups: [{ id: demo, name: Demo }]
mcp_servers:
  - { id: good, group: demo, type: node, command: ${fixtureServer} }
  - { ${bad}, ${limits}, health_check_interval: 1 }
policies:
  - { name: all, effect: allow, principals: ["token:caller", "token:other"], actions: ["tools/call"], resources: ["*:*"] }
`;
const stubborn = `  - { id: stubborn, group: demo, type: node, command: ${fixtureServer}, env: { STUBBORN_TEST: ${mark} } }\n`;
const withStubborn = yaml.replace("policies:\n", `${stubborn}policies:\n`);
const system = useSystem(infra, { yaml: withStubborn });

const clientOf = (token: string) => modernClient({ url: `${system.gatewayUrl}/mcp`, token });
async function call(tool: string, args: object = {}, token = system.token): Promise<any> {
  return (await clientOf(token).request("tools/call", { name: tool, arguments: args })).last;
}

/** What tools of the bad server have started and is alive. */
function children(): number[] {
  const ours = new Set(processesMarked("LIMITS_TEST", mark));
  return processesMarked("FIXTURE_CHILD", "1").filter((pid) => ours.has(pid));
}

const OTHERS_CALLS = 40;
/** The server beside the bad one, and the bad one's process of another tenant. */
async function othersCalls(): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (let n = 0; n < OTHERS_CALLS; n++) {
    const tool = n % 2 === 0 ? "good__echo" : "bad__echo";
    const { result, error } = await call(tool, { message: `m${n}` }, `${system.token}_other`);
    answers.push(result?.content[0].text ?? error);
  }
  return answers;
}
const EXPECTED = Array.from({ length: OTHERS_CALLS }, (_each, n) => `m${n}`);

beforeAll(async () => {
  for (const token of [system.token, `${system.token}_other`])
    await eventually(async () => {
      for (const server of ["good", "bad", "stubborn"])
        expect((await call(`${server}__echo`, { message: "ready" }, token)).result?.content[0].text).toBe("ready");
    });
});

test.each([
  ["leak", { mib: 400 }, /256 MiB.*limits\.memory_mb/],
  ["fork", {}, /24 processes.*limits\.processes/],
  ["flood_lines", {}, /limits\.output_mb/],
  ["garbage_flood", {}, /no JSON-RPC/],
  ["hang", {}, /limits\.call_timeout/],
  ["exhaust_cpu", {}, /limits\.call_timeout/],
])(
  "%s: its caller is told, others are served, nothing is left, and the server comes back",
  async (tool, args, told) => {
    const [answer, others] = await Promise.all([call(`bad__${tool}`, args), othersCalls()]);
    expect(answer.error?.message).toMatch(told);
    expect(others).toEqual(EXPECTED);
    await eventually(() => expect(children()).toEqual([]));
    await eventually(async () =>
      expect((await call("bad__echo", { message: "back" })).result?.content[0].text).toBe("back"),
    );
  },
  60_000,
);

test("processor time is what the limit says", async () => {
  const [answer, others] = await Promise.all([call("bad__exhaust_cpu", { ms: 2_500 }), othersCalls()]);
  expect(Number(answer.result?.content[0].text), JSON.stringify(answer)).toBeLessThan(0.8);
  expect(others).toEqual(EXPECTED);
});

test("what left its server's process group ends with the server", async () => {
  const answer = await call("bad__daemon");
  expect(children()).toEqual([Number(answer.result.content[0].text)]);
  await call("bad__crash");
  await eventually(() => expect(children()).toEqual([]));
});

test("a server that ignores SIGTERM and the end of its input is gone when it is taken out", async () => {
  expect((await call("stubborn__ignore_term")).result.content[0].text).toBe("ignoring");
  expect(processesMarked("STUBBORN_TEST", mark)).not.toEqual([]);
  await system.configure(yaml);
  await eventually(() => expect(processesMarked("STUBBORN_TEST", mark)).toEqual([]), { timeoutMs: 20_000 });
});
