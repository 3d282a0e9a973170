import { limitsV1, policyV1 } from "@tollgate/contracts";
import type { AppError } from "@tollgate/errors";
import { callUnary } from "@tollgate/service";
import { eventually, useInfrastructure } from "@tollgate/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runPolicy, type RunningPolicy } from "./running-policy.ts";

// Whoever has the service key is trusted to ask, not to ask well: no message may stop the service, or be answered as if
// the service itself were broken.

const RUNS = 60;
/** `unavailable` too would be wrong: it asks to send the same message again. */
const ANSWERS = [
  "ok",
  "unauthenticated",
  "permission_denied",
  "invalid_argument",
  "not_found",
  "already_exists",
  "failed_precondition",
  "overloaded",
];

const infra = useInfrastructure();
let policy: RunningPolicy;
beforeAll(async () => {
  policy = await runPolicy(infra);
});
afterAll(() => policy.close());

const text = fc.oneof(
  fc.constantFrom("", "dev", "acme", "default", "files", "read_x", "payments", "developer", "production", "HIGH"),
  fc.constantFrom(
    "agent:bot",
    "user:alice",
    "role:developer",
    "tenant:acme",
    "*",
    "files:*",
    "group:disk",
    "allow",
    "deny",
  ),
  fc.constantFrom("tools/call", "tools/list", "admin/policies/write", "pending", "approved", "2026-11-21", "192.0.2.7"),
  fc.constantFrom(
    "\0",
    "a\0b",
    "\u202e",
    "\ud800",
    "'; DROP TABLE policy.tokens; --",
    "__proto__",
    "..",
    "x".repeat(5_000),
  ),
  fc.constantFrom(
    "{}",
    "[]",
    '{"a":1e999}',
    '{"time":{"from":"25:00"}}',
    "[".repeat(2_000),
    "permit(principal, action, resource);",
  ),
  fc.string({ maxLength: 30 }),
  fc.string({ unit: "binary", maxLength: 30 }),
);
const texts = fc.array(text, { maxLength: 4 });
/** Mostly as it should be, so that what is wrong elsewhere in the message is looked at. */
const mostly = <T>(good: T, other: fc.Arbitrary<T>) => fc.oneof({ weight: 5, arbitrary: fc.constant(good) }, other);
const actor = mostly("tester", text);
const uint32 = fc.oneof(fc.constantFrom(0, 1, 0xffff_ffff), fc.integer({ min: 0, max: 0xffff_ffff }));
const int64 = fc.oneof(
  fc.constantFrom(0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n, 8_640_000_000_000_001n),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  // Times that could be.
  fc.bigInt({ min: 1_700_000_000_000n, max: 1_900_000_000_000n }),
);
const uint64 = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 64n - 1n, 2n ** 63n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const flag = fc.boolean();

/** With what it names, or only some of it. */
const some = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.oneof({ weight: 3, arbitrary: fc.record(model) }, fc.record(model, { requiredKeys: [] }));

const principal = some({
  id: mostly("dev", text),
  tenant: mostly("acme", text),
  team: text,
  roles: mostly(["developer"], texts),
  permissions: mostly(["mcp", "admin"], texts),
  credential: text,
  amr: texts,
  acr: text,
  authenticatedAtMs: int64,
});
const certificate = some({ sha256: text, commonName: text, alternativeNames: texts, notAfterMs: int64 });
const resource = some({
  group: text,
  server: mostly("files", text),
  tool: mostly("read_x", text),
  sandboxed: flag,
  environment: text,
  risk: mostly("HIGH", text),
});
const question = some({
  principal,
  action: mostly("tools/call", text),
  resources: fc.array(resource, { maxLength: 3 }),
  address: text,
  arguments: mostly('{"path":"/data"}', text),
});
const rule = some({
  id: mostly("a-rule", text),
  effect: mostly("deny", text),
  principals: mostly(["role:nobody"], texts),
  actions: mostly(["tools/call"], texts),
  resources: mostly(["files:*"], texts),
  tenant: mostly("", text),
  conditions: mostly("", text),
  isCedar: mostly(false, flag),
  cedar: text,
  description: text,
  version: mostly(0n, uint64),
});
const token = some({
  name: mostly("a-token", text),
  tenant: mostly("acme", text),
  team: mostly("payments", text),
  roles: mostly(["developer"], texts),
  permissions: mostly(["mcp"], texts),
  expiresAtMs: mostly(0n, int64),
  agent: mostly("", text),
});
const known = some({
  tenant: mostly("acme", text),
  id: mostly("agent:bot", text),
  team: mostly("payments", text),
  roles: mostly(["developer"], texts),
  withdrawnRoles: mostly([], texts),
  disabled: flag,
  note: text,
});
const role = some({ tenant: mostly("acme", text), name: mostly("writer", text), description: text, disabled: flag });
const limit = some({
  id: mostly("a-limit", text),
  definition: mostly('{"per":"principal","requests_per_second":5}', text),
});
const lease = some({ key: text, wanted: uint32, held: uint32, returned: uint32, waiting: uint32 });
const recorded = some({ id: text, question, atMs: int64 });
const proposed = fc.array(rule, { maxLength: 3 });

const MESSAGES: Readonly<Record<string, fc.Arbitrary<object>>> = {
  authenticate: some({ token: text, certificate }),
  decide: question,
  leaseLimits: some({ gateway: text, leases: fc.array(lease, { maxLength: 4 }) }),
  putLimit: some({ limit, actor }),
  deleteLimit: some({ id: mostly("a-limit", text), actor }),
  listPolicies: some({ tenant: text }),
  putPolicy: some({ policy: rule, actor }),
  listPolicyVersions: some({ id: mostly("a-rule", text) }),
  rollbackPolicy: some({ id: mostly("a-rule", text), version: mostly(1n, uint64), actor }),
  deletePolicy: some({ id: mostly("a-rule", text), actor }),
  testPolicies: some({ question, atMs: int64, proposed, removed: texts }),
  whatIf: some({ proposed, removed: texts, calls: fc.array(recorded, { maxLength: 3 }) }),
  createToken: some({ token, actor }),
  rotateToken: some({ name: mostly("a-token", text), overlapMs: uint32, expiresAtMs: mostly(0n, int64), actor }),
  revokeToken: some({ name: mostly("a-token", text), actor }),
  listPrincipals: some({ tenant: text }),
  putPrincipal: some({ principal: known, actor }),
  deletePrincipal: some({ tenant: mostly("acme", text), id: mostly("agent:bot", text), actor }),
  putRole: some({ role, actor }),
  endSession: some({ session: mostly("a-session", text), actor, tenant: text }),
  requestApproval: some({ principal, resource, arguments: mostly("{}", text), justification: text }),
  listApprovals: some({
    tenant: text,
    status: mostly("", text),
    principal: text,
    pageSize: mostly(10, uint32),
    cursor: mostly("", text),
  }),
  getApproval: some({ id: text }),
  decideApproval: some({ id: text, decision: mostly("approve", text), reason: text, by: principal }),
};

interface Method {
  readonly requestSerialize: (value: unknown) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => unknown;
}
const METHODS = policyV1.PolicyServiceService as unknown as Readonly<Record<string, Method>>;

async function answerTo(method: string, message: object): Promise<string> {
  const { requestSerialize, requestDeserialize } = METHODS[method]!;
  const call = (policy.client as any)[method].bind(policy.client);
  // As it arrives: what is left out has its default.
  const request = requestDeserialize(requestSerialize(typeOf(method).fromPartial(message)));
  return callUnary(call, request, { metadata: policy.metadata, timeoutMs: 20_000, service: "policy" }).then(
    () => "ok",
    (error: unknown) => {
      const { code, message: reason } = error as AppError;
      return ANSWERS.includes(code) ? code : `${code}: ${reason}`;
    },
  );
}

function typeOf(method: string): { fromPartial(message: object): unknown } {
  const name = `${method[0]!.toUpperCase()}${method.slice(1)}Request`;
  return (policyV1 as any)[name] ?? (limitsV1 as any)[name];
}

test.each(Object.keys(MESSAGES))("%s answers whatever it is sent", async (method) => {
  await fc.assert(
    fc.asyncProperty(MESSAGES[method]!, async (message) => {
      expect(ANSWERS).toContain(await answerTo(method, message));
    }),
    { numRuns: RUNS },
  );
  expect(await policy.readiness()).toBe(200);
});

test("every method that takes something is among them", () => {
  const unary = Object.keys(METHODS).filter(
    (method) => !["watch", "listTokens", "listRoles", "listLimits"].includes(method),
  );
  expect(Object.keys(MESSAGES).toSorted()).toEqual(unary.toSorted());
});

test("a watch answers whatever it is sent, or ends", async () => {
  const message = some({
    gateway: text,
    takenRevision: uint64,
    sequence: uint64,
    used: fc.array(some({ tenant: text, credential: text, atMs: int64 }), { maxLength: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 3 }), async (messages) => {
      const stream = policy.client.watch(policy.metadata);
      const { promise, resolve } = Promise.withResolvers<string>();
      stream.on("data", () => resolve("answered"));
      stream.on("error", (error) => resolve(error.message));
      stream.on("end", () => resolve("ended"));
      for (const each of messages) stream.write(policyV1.WatchRequest.fromPartial(each));
      expect(await promise).not.toMatch(/internal|unknown/i);
      stream.cancel();
    }),
    { numRuns: RUNS },
  );
  await eventually(async () => expect(await policy.readiness()).toBe(200));
});

test("bytes that are no message stop nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(MESSAGES)),
      fc.uint8Array({ maxLength: 200 }),
      async (method, bytes) => {
        const path = `/tollgate.policy.v1.PolicyService/${method[0]!.toUpperCase()}${method.slice(1)}`;
        const { promise, resolve } = Promise.withResolvers<void>();
        const deadline = Date.now() + 20_000;
        const serialize = (value: Uint8Array) => Buffer.from(value);
        const ignore = () => null;
        policy.client.makeUnaryRequest(path, serialize, ignore, bytes, policy.metadata, { deadline }, () => resolve());
        await promise;
      },
    ),
    { numRuns: RUNS },
  );
  expect(await policy.readiness()).toBe(200);
  expect(await policy.listPolicies()).toBeDefined();
});
