import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { opaModule } from "./opa-module.ts";
import { document, startOpaServer, type TestOpaServer } from "./opa-server.ts";
import { DEV_TOKEN, runPolicy, type RunningPolicy } from "./running-policy.ts";

const SECRET = "opa-secret-0123456789";
const infra = useInfrastructure();
let opa: TestOpaServer;
let policy: RunningPolicy;
let folder: string;

const fileWith = (settings: string) => `
control_plane:
  auth:
    tokens:
      - { name: dev, token: "\${DEV_TOKEN}", tenant: acme, team: payments, roles: [developer] }
  ${settings === "" ? "" : `opa: { timeout: 1.5, ${settings} }`}
policies:
  - { name: developers, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["files:*"] }
  - { name: no-drops, effect: deny, principals: ["*"], actions: ["*"], resources: ["*:drop"] }
`;
const rest = () => `url: "${opa.url}", token: ${SECRET}`;

beforeAll(async () => {
  opa = await startOpaServer();
  folder = await mkdtemp(join(tmpdir(), "tollgate-opa-"));
  policy = await runPolicy(infra, { text: fileWith(rest()) });
});
afterAll(async () => {
  await policy.close();
  await opa.close();
  await rm(folder, { recursive: true });
});

const revision = async () => (await policy.listPolicies()).revision;

/** Waits until what `work` brings about is a revision of its own. */
async function changes(work: Promise<void>): Promise<void> {
  const before = await revision();
  await work;
  await eventually(async () => expect(await revision()).toBeGreaterThan(before));
}

async function decide(tool: string, callArguments: string | undefined = "{}", action = "tools/call") {
  const { principal } = await policy.authenticate(DEV_TOKEN);
  // A risk that demands nothing of its own.
  const resources = [{ group: "disk", server: "files", tool, environment: "production", risk: "MEDIUM" }];
  const question = { principal, action, resources, address: "192.0.2.7" };
  const { decisions } = await policy.decide({ ...question, arguments: callArguments });
  return decisions[0]!;
}

describe("over its REST data API", () => {
  beforeEach(() => {
    opa.asked.length = 0;
    opa.answers(document({ result: true }));
  });

  test("it is asked about what policies allow, and only that", async () => {
    expect(await decide("read", '{"path":"/data"}')).toMatchObject({
      allow: true,
      policyIds: ["developers", "opa"],
      reason: "allowed by policy developers and by OPA",
    });
    expect(opa.asked).toEqual([
      {
        path: "/v1/data/tollgate/allow",
        authorization: `Bearer ${SECRET}`,
        input: {
          principal: {
            id: "dev",
            kind: "token",
            tenant: "acme",
            team: "payments",
            roles: ["developer"],
            amr: [],
            acr: "",
          },
          action: "tools/call",
          resource: {
            group: "disk",
            server: "files",
            name: "read",
            environment: "production",
            risk: "MEDIUM",
            sandboxed: false,
          },
          address: "192.0.2.7",
          time: expect.stringMatching(/^\d{4}-.*Z$/),
          arguments: { path: "/data" },
        },
      },
    ]);
    expect(await decide("drop")).toMatchObject({ allow: false, policyIds: ["no-drops"] });
    expect(opa.asked).toHaveLength(1);
  });

  test("its deny refuses, with its reason", async () => {
    opa.answers(document({ result: { allow: false, reason: "not on Saturdays" } }));
    expect(await decide("read")).toMatchObject({
      allow: false,
      policyIds: ["opa"],
      reason: "denied by OPA: not on Saturdays",
    });
  });

  test("each request is decided anew: nothing of its answers is remembered", async () => {
    const { validUntilMs } = await decide("read");
    expect(validUntilMs).toBeGreaterThan(0n);
    expect(validUntilMs).toBeLessThanOrEqual(BigInt(Date.now()));
    opa.answers(document({ result: false }));
    expect((await decide("read")).allow).toBe(false);
  });

  test("without arguments some may be allowed; resources, which have none, are asked about at once", async () => {
    const principal = (await policy.authenticate(DEV_TOKEN)).principal;
    const resources = [{ server: "files", tool: "read" }];
    const call = await policy.decide({ principal, action: "tools/call", resources });
    expect(call.decisions[0]).toMatchObject({ allow: true, variesByArguments: true });
    expect(opa.asked).toHaveLength(0);
    await policy.decide({ principal, action: "resources/read", resources });
    expect(opa.asked).toHaveLength(1);
  });

  test("lists show what the policies allow", async () => {
    opa.answers(document({ result: false }));
    expect(await decide("read", undefined, "tools/list")).toMatchObject({ allow: true });
    expect(opa.asked).toHaveLength(0);
  });

  test("no answer is a deny", async () => {
    opa.answers(document({ result: "yes" }));
    expect(await decide("read")).toMatchObject({
      allow: false,
      policyIds: ["opa"],
      reason: expect.stringMatching(/^could not be decided, so it is denied: OPA/),
    });
    opa.answers((response) => void response.destroy());
    expect((await decide("read")).reason).toBe("could not be decided, so it is denied: OPA cannot be reached");
    expect(await policy.metrics()).toMatch(/tollgate_policy_opa_answers_total\{answer="undecided"\} [2-9]/);
  });

  test("its token is not in the database", async () => {
    const client = new pg.Client(infra.databaseUrl("policy"));
    await client.connect();
    try {
      const { rows } = await client.query("SELECT name, value::text AS value FROM policy.settings WHERE name = 'opa'");
      expect(rows).toHaveLength(1);
      expect(rows[0].value).toContain(opa.url);
      expect(rows[0].value).not.toContain(SECRET);
    } finally {
      await client.end();
    }
  });

  test("another setting is a new revision; without any, the policies alone decide", async () => {
    await changes(policy.writeFile(fileWith(`${rest()}, actions: [prompts/get]`)));
    opa.answers(document({ result: false }));
    expect((await decide("read")).allow).toBe(true);
    expect((await decide("read", "{}", "prompts/get")).allow).toBe(false);
    await changes(policy.writeFile(fileWith("")));
    expect((await decide("read", "{}", "prompts/get")).allow).toBe(true);
    await changes(policy.writeFile(fileWith(rest())));
    expect((await decide("read")).allow).toBe(false);
  });

  test("a replica whose own file says something else decides nothing in OPA's name", async () => {
    const other = await runPolicy(infra, { text: fileWith(`${rest()}, actions: [tools/call]`) });
    try {
      await eventually(async () =>
        expect((await decide("read")).reason).toBe("could not be decided, so it is denied: OPA is being set up"),
      );
      opa.asked.length = 0;
      expect((await decide("read")).allow).toBe(false);
      expect(opa.asked).toHaveLength(0);
    } finally {
      await other.close();
    }
    await changes(policy.writeFile(`${fileWith(rest())}# again`));
    expect((await decide("read")).allow).toBe(true);
  });

  test("answers are remembered where the file says so", async () => {
    await changes(policy.writeFile(fileWith(`${rest()}, arguments: false, cache: 3600`)));
    const { validUntilMs, variesByArguments } = await decide("read", undefined);
    expect(variesByArguments).toBe(false);
    expect(validUntilMs).toBeGreaterThan(BigInt(Date.now() + 1_800_000));
    expect(opa.asked[0]!.input).not.toHaveProperty("arguments");
  });
});

describe("as a compiled policy", () => {
  const file = () => join(folder, "policy.wasm");
  const compiled = () => `wasm_file: ${JSON.stringify(file())}`;
  const allowing = (text: string) => opaModule({ rules: [[text, { result: true }]], otherwise: { result: false } });

  test("it decides, and is followed like the file", async () => {
    await writeFile(file(), allowing('"name":"read"'));
    await changes(policy.writeFile(fileWith(compiled())));
    expect(await decide("read")).toMatchObject({ allow: true, policyIds: ["developers", "opa"] });
    expect(await decide("write")).toMatchObject({ allow: false, reason: "denied by OPA" });
    await changes(writeFile(file(), allowing('"name":"write"')));
    expect((await decide("read")).allow).toBe(false);
    expect((await decide("write")).allow).toBe(true);
  });

  test("one that cannot be used changes nothing, and its mending is noticed", async () => {
    await writeFile(file(), allowing('"name":"write"').slice(0, 100));
    expect((await decide("write")).allow).toBe(true);
    await changes(writeFile(file(), allowing('"name":"list"')));
    expect((await decide("write")).allow).toBe(false);
    expect((await decide("list")).allow).toBe(true);
  });

  test("a call whose arguments keep it busy for ever is refused, the next is decided", async () => {
    const module = opaModule({ rules: [["for ever", "loop"]], otherwise: { result: true } });
    await changes(writeFile(file(), module));
    expect((await decide("read", '{"x":"for ever"}')).reason).toBe(
      "could not be decided, so it is denied: OPA's policy was not done in time",
    );
    await eventually(async () => expect((await decide("read")).allow).toBe(true));
  });

  test("beside the REST data API both have to allow", async () => {
    await writeFile(file(), allowing('"name":"read"'));
    await changes(policy.writeFile(fileWith(`${rest()}, ${compiled()}`)));
    opa.answers((response, question) => document({ result: question.input.arguments.ok === true })(response, question));
    const allows = async (tool: string, ok: boolean) => (await decide(tool, JSON.stringify({ ok }))).allow;
    expect(await allows("read", true)).toBe(true);
    expect(await allows("read", false)).toBe(false);
    expect(await allows("write", true)).toBe(false);
  });
});
