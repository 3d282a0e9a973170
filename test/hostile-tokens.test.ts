import { eventually, fixtureServer, modernClient, useInfrastructure, useSystem } from "@tollgate/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { claimsFor, type Hostile, hostileHeaders, hostileJwts, nearMisses, oddJwts } from "./hostile/credentials.ts";
import { type HostileIssuer, startIssuer } from "./hostile/issuer.ts";
import { type RawAnswer, sendRaw, type Transport, TRANSPORTS } from "./hostile/raw-request.ts";

const RESOURCE = "https://mcp.example.com/mcp";
const REFUSED = [401];
const REFUSED_BY_HTTP = [400, 401, 431];
/** Nothing of what a program says to its programmers. */
const INTERNALS = /node_modules|\.ts:\d|\bat [\w.<>]+ \(|Error:|SELECT |postgres|jose|grpc|ECONN|undefined|\[object/i;

const issuer: HostileIssuer = await startIssuer();
const infra = useInfrastructure();
const secretOf = (name: string) => `tg_${infra.busPrefix}_${name}`;
const system = useSystem(infra, {
  // The list of tokens stands last in what the system puts before this: the rest of `auth` joins it.
  yaml: `      - { name: expired, token: ${secretOf("expired")}, expires_at: 2020-01-01T00:00:00Z }
      - { name: revoked, token: ${secretOf("revoked")} }
    oauth:
      issuer: ${issuer.origin}
      audience: ${RESOURCE}
      claims: { tenant: org, roles: groups }
  public_url: https://mcp.example.com
groups: [{ id: demo }]
mcp_servers:
  - { id: fixture, group: demo, type: node, command: ${fixtureServer} }
policies:
  - { name: allow, effect: allow, principals: ["tenant:acme"], actions: ["*"], resources: ["fixture:*"] }
`,
  // Each credential comes from an address of its own, as far as the gateway is told.
  env: { gateway: { TOLLGATE_TRUSTED_PROXIES: "127.0.0.0/8" } },
});

let addresses = 0;
const newAddress = () => `10.${(addresses += 1) >> 16}.${(addresses >> 8) & 255}.${addresses & 255}`;
const send = (transport: Transport, headers: readonly string[], address = newAddress()) =>
  sendRaw(system.gatewayUrl, transport, [...headers, `x-forwarded-for: ${address}`]);

async function api(path: string, method = "GET"): Promise<any> {
  const headers = { authorization: `Bearer ${system.adminToken}` };
  const response = await fetch(`${system.gatewayUrl}/api/v1${path}`, { method, headers });
  return response.json();
}

/** What was refused, by the address that it came from. */
async function refusals(): Promise<Map<string, any[]>> {
  const events: any[] = [];
  for (let cursor = ""; ;) {
    const page = await api(`/audit/events?kind=refusal&limit=1000&cursor=${encodeURIComponent(cursor)}`);
    events.push(...page.items);
    if (page.nextCursor === null) return Map.groupBy(events, (event) => event.address);
    cursor = page.nextCursor;
  }
}

const accessToken = () => issuer.signed(issuer.header(), claimsFor(issuer, RESOURCE));

async function expectGoodCalls(): Promise<void> {
  for (const token of [system.token, accessToken()]) {
    const client = modernClient({ url: `${system.gatewayUrl}/mcp`, token });
    const { last } = await client.request("tools/call", { name: "fixture__echo", arguments: { message: "hi" } });
    expect(last).toMatchObject({ result: { content: [{ text: "hi" }] } });
  }
}

function expectRefusal(answer: RawAnswer, statuses: readonly number[]): void {
  expect(statuses).toContain(answer.status);
  expect(answer.body).not.toMatch(INTERNALS);
  expect(answer.headers).not.toMatch(INTERNALS);
  if (answer.status === 401) expect(answer.headers).toMatch(/^www-authenticate: bearer/m);
}

/** What no place may show: the parts of each credential that were sent. */
const sent: string[] = [];
const hideable = (headers: readonly string[]) =>
  headers
    .flatMap((line) => line.replace(/^authorization: /, "").split(/[\s,"]+|\./))
    .filter((part) => part.length >= 16);

beforeAll(async () => {
  await eventually(async () => {
    const { items } = await api("/servers");
    expect(items).toMatchObject([{ id: "fixture", status: "ready" }]);
  });
  await eventually(expectGoodCalls);
  expect(await api("/tokens/revoked", "DELETE")).toBeDefined();
});
afterAll(() => issuer.close());

const HOSTILE: readonly Hostile[] = [
  ...hostileJwts(issuer, RESOURCE),
  ...hostileHeaders(secretOf("caller")),
  ...nearMisses(secretOf("caller")),
  { name: "an expired token", headers: [`authorization: Bearer ${secretOf("expired")}`] },
  { name: "a revoked token", headers: [`authorization: Bearer ${secretOf("revoked")}`] },
];

describe.each(TRANSPORTS)("over %s", (transport) => {
  test("each hostile credential is refused with the right status and one event", async () => {
    const from = new Map<string, Hostile & { readonly status: number }>();
    for (const hostile of HOSTILE) {
      const address = newAddress();
      const answer = await send(transport, hostile.headers, address);
      const statuses = hostile.byHttp === true ? REFUSED_BY_HTTP : REFUSED;
      expect.soft(statuses, `${hostile.name}: ${answer.status} ${answer.body}`).toContain(answer.status);
      if (answer.status === 401) expectRefusal(answer, REFUSED);
      const shown = hideable(hostile.headers).filter((part) => answer.body.includes(part));
      expect([hostile.name, shown]).toEqual([hostile.name, []]);
      from.set(address, { ...hostile, status: answer.status });
      sent.push(...hideable(hostile.headers));
    }
    await eventually(async () => {
      const events = await refusals();
      for (const [address, { name, status }] of from) {
        const own = events.get(address) ?? [];
        // What HTTP itself refuses has never been a request.
        const expected = status === 401 ? [{ code: "unauthenticated", transport, count: 1 }] : [];
        expect([name, own]).toMatchObject([name, expected]);
      }
    });
    await expectGoodCalls();
  });

  test("what an access token holds beside gives nothing", async () => {
    for (const { name, headers } of oddJwts(issuer, RESOURCE)) {
      const { status, body } = await send(transport, headers);
      // The management API is for who has the permission.
      const expected = { http: 200, sse: 200, websocket: 101, api: 403 }[transport];
      expect([name, status, body]).toEqual([name, expected, expect.any(String)]);
    }
    await expectGoodCalls();
  });

  test("whatever is sent as a credential is refused", async () => {
    const text = fc.oneof(
      fc.string({ unit: "binary-ascii", maxLength: 200 }),
      fc.string({
        unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)),
        maxLength: 200,
      }),
      fc.base64String({ maxLength: 400 }).map((each) => `Bearer ${each}`),
      fc
        .array(fc.base64String({ maxLength: 60 }), { minLength: 3, maxLength: 3 })
        .map((parts) => `Bearer ${parts.join(".")}`),
      fc.json().map((json) => `Bearer ${Buffer.from(json).toString("base64url")}.e30.AAAA`),
    );
    await fc.assert(
      fc.asyncProperty(text, async (value) => {
        // Line breaks would make other headers of it, which is HTTP's matter.
        const answer = await send(transport, [`authorization: ${value.replace(/[\r\n]/g, "")}`]);
        expectRefusal(answer, REFUSED_BY_HTTP);
      }),
      { numRuns: 60 },
    );
    await expectGoodCalls();
  });
});

test("nobody is told how close he was", async () => {
  const guesses = nearMisses(secretOf("caller"));
  for (const transport of TRANSPORTS) {
    const answers = await Promise.all(guesses.map(({ headers }) => send(transport, headers)));
    const told = answers.map(({ status, headers, body }) => ({
      status,
      headers: headers.replace(/^date:.*$/m, ""),
      body,
    }));
    expect(new Set(told.map((each) => JSON.stringify(each))).size).toBe(1);
  }
});

test("a forged access token is told nothing of what it would have been worth", async () => {
  const now = Math.floor(Date.now() / 1_000);
  const variants = [{}, { exp: now - 3_600 }, { nbf: now + 3_600 }, { scope: "" }, { sub: "nobody" }, { org: "../" }];
  const bodies = await Promise.all(
    variants.map(async (more) => {
      const token = issuer.signed(issuer.header(), claimsFor(issuer, RESOURCE, more), issuer.strangersKey);
      return (await send("http", [`authorization: Bearer ${token}`])).body;
    }),
  );
  expect(new Set(bodies).size).toBe(1);
});

test("the issuer is asked for its keys only where it says they are", () => {
  expect(new Set(issuer.asked)).toEqual(new Set(["/.well-known/oauth-authorization-server", "/keys"]));
});

test("no credential is in an event, a log or a metric", async () => {
  const services = ["policy", "registry", "audit", "metering", "runner", "gateway"] as const;
  const metrics = services.map(async (service) => (await fetch(`${system.httpUrls[service]}/metrics`)).text());
  const places: [string, string][] = [
    ["events", JSON.stringify([...(await refusals()).values()])],
    ...(await Promise.all(metrics)).map((text, at): [string, string] => [`metrics of ${services[at]!}`, text]),
    ...services.map((service): [string, string] => [`log of ${service}`, system.output(service)]),
  ];
  const secrets = new Set(sent);
  expect(secrets.size).toBeGreaterThan(50);
  for (const [place, text] of places) {
    const shown = [...secrets].filter((secret) => text.includes(secret));
    expect([place, shown]).toEqual([place, []]);
  }
});
