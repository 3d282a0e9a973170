// The client that the official suite's client scenarios try: what stands between the gateway and a remote server, from a
// call's frame to the server and back, with this program in the place of registry, gateway and NATS. It asks nothing that
// is a scenario's own: it uses all that the server offers, and answers what it is asked. The URL is the last argument;
// see the suite for the environment.
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CallEnvelope, type ClientSide, newCallId } from "@tollgate/contracts";
import { shareOf } from "@tollgate/fair-queue";
import {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  createSealers,
  MODERN_REVISION,
  PROTOCOL_VERSION_KEY,
} from "@tollgate/mcp";
import { createLog } from "@tollgate/service";
import { configSchema } from "../src/config.ts";
import { createResultCache } from "../src/domain/result-cache.ts";
import { createPools } from "../src/handlers/assignments.ts";
import { createParkedCalls } from "../src/handlers/parked-calls.ts";
import { createQuestions } from "../src/handlers/questions.ts";
import { startCall } from "../src/handlers/running-call.ts";
import { openContainment } from "../src/containment/containment.ts";
import { NO_NEWS, SETTINGS } from "./test-config.ts";
import { assignment } from "./assigning-registry.ts";

const CALL_TIMEOUT_MS = 15_000;
const ROUNDS_MAX = 8;
const SESSION = "s-suite";
const RUNNER = "r-suite";
const SERVER = "suite";
const PRINCIPAL = { principal: "token:suite", tenant: "suite" };

/** What a required argument gets that has no default. */
const VALUES: Readonly<Record<string, unknown>> = { string: "a", number: 1.5, integer: 2, boolean: true };

type Params = Readonly<Record<string, any>>;
type Schema = { properties?: Record<string, any>; required?: string[] };

const { MCP_CONFORMANCE_SCENARIO: scenario = "", MCP_CONFORMANCE_PROTOCOL_VERSION: revision = MODERN_REVISION } =
  process.env;
const context = JSON.parse(process.env["MCP_CONFORMANCE_CONTEXT"] ?? "{}") as { toolCalls?: Params[] };
const url = process.argv.at(-1)!;

const log = createLog({ name: "upstream client", level: "silent" });
const stateDir = mkdtempSync(join(tmpdir(), "tollgate-upstream-client-"));
const serviceKey = randomBytes(32).toString("hex");
const config = { ...configSchema.parse({ ...SETTINGS, serviceKey, stateDir }), baseEnv: {} };
const sealers = createSealers(serviceKey);
const questions = createQuestions({ runner: RUNNER, onNotice: () => undefined, log });
const parked = createParkedCalls({ runner: RUNNER, sealers, limits: config });

const learned = Promise.withResolvers<Parameters<Parameters<typeof createPools>[0]["report"]>[0]>();
const pools = createPools({
  config,
  log,
  containment: await openContainment({ ...config, log }),
  resolveCommand: () => Promise.reject(new Error("there is nothing to start")),
  listenerOf: () => ({ onNotice: () => undefined, onQuestion: ({ refuse }) => refuse(-32601, "not known") }),
  newsOf: () => NO_NEWS,
  updatesOf: () => () => undefined,
  report: (report) => Promise.resolve(learned.resolve(report)),
});

// What the gateway would know of its client: one that can be asked where the scenario is about that.
const modern = revision === MODERN_REVISION;
const asked = modern || scenario.startsWith("elicitation");
const client: ClientSide = {
  era: modern ? "modern" : "legacy",
  capabilities: asked ? { elicitation: { form: {} } } : {},
  info: { name: "tollgate-upstream-client", version: "1.0" },
};

process.exitCode = await main();

async function main(): Promise<number> {
  // Static headers are all that servers of Tollgate are reached with; see tools/conformance/README.md.
  if (scenario.startsWith("auth/")) return 1;
  try {
    pools.apply([assignment({ serverId: SERVER, type: "remote", command: "", url, transport: "streamable-http" })]);
    const { status, reason, ...offer } = await learned.promise;
    if (status !== "ready") throw new Error(`the server is ${status}: ${reason}`);
    const parsed = (definitions: readonly string[]) => definitions.map((each) => JSON.parse(each) as Params);
    const tools = parsed(offer.toolDefinitions);
    const calls = tools.map(({ name, inputSchema }) => ({ name, arguments: made(inputSchema) }));
    // One of the suite's tools wants to see what has become of another's schema on the way.
    for (const { arguments: each } of calls) if ("schema" in each) each["schema"] = tools[0]!["inputSchema"];
    for (const params of context.toolCalls ?? calls) await use("tools/call", params["name"], params);
    for (const { uri } of parsed(offer.resourceDefinitions)) await use("resources/read", uri, { uri });
    for (const { name } of parsed(offer.promptDefinitions)) await use("prompts/get", name, { name });
    return 0;
  } finally {
    parked.close();
    questions.close();
    await pools.close();
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** A request as the gateway hands it over, again with answers as long as that is what comes back. */
async function use(method: string, name: string, given: Params): Promise<void> {
  let params = given;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const { result, error } = await ask(method, name, params);
    process.stdout.write(`${method} ${name}: ${JSON.stringify(result ?? error)}\n`);
    if (result?.resultType !== "input_required") return;
    const { inputRequests = {}, requestState } = result;
    const answers = Object.entries<any>(inputRequests).map(([key, each]) => [key, answerTo(each)]);
    const inputResponses = Object.fromEntries(answers) as Params;
    // The gateway takes off the seal that it is given back.
    const { state } = sealers.state.open(requestState) ?? {};
    params = { ...given, inputResponses, ...(state === undefined ? {} : { requestState: state }) };
  }
  throw new Error(`${method} ${name} wanted input more than ${ROUNDS_MAX} times`);
}

async function ask(method: string, tool: string, given: Params): Promise<any> {
  const envelope = envelopeOf(method, tool);
  const params = modern ? { ...given, _meta: modernMeta() } : given;
  const call = startCall(
    { envelope, frame: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) },
    {
      runner: RUNNER,
      share: shareOf(PRINCIPAL.tenant),
      results: createResultCache({ max: 1, maxBytes: 1 }),
      cancelled: false,
      deliveryCount: 1,
      poolOf: (server) => pools.get(server),
      questions,
      parked,
      sealers,
      onFrame: (text, { asks }) => asks && answer(JSON.parse(text)),
      log,
    },
  );
  const timer = setTimeout(() => call.expire(), CALL_TIMEOUT_MS);
  const { text } = await call.ended;
  clearTimeout(timer);
  return JSON.parse(text);
}

function envelopeOf(method: string, tool: string): CallEnvelope {
  const acceptedAt = Date.now();
  const decision = { allow: true, policies: [], revision: 1, reason: "the suite asks" };
  return {
    id: newCallId(acceptedAt),
    gateway: "g-suite",
    deadline: acceptedAt + CALL_TIMEOUT_MS,
    retrySafe: false,
    prefixed: false,
    client,
    facts: {
      ...PRINCIPAL,
      team: "suite",
      client: "suite",
      group: "suite",
      server: SERVER,
      tool,
      method,
      ...(modern ? {} : { session: SESSION }),
      protocol: revision,
      decision,
      acceptedAt,
      requestBytes: 0,
    },
  };
}

function modernMeta(): Params {
  const { capabilities, info } = client;
  return { [PROTOCOL_VERSION_KEY]: revision, [CLIENT_CAPABILITIES_KEY]: capabilities, [CLIENT_INFO_KEY]: info };
}

/** A legacy client's answer to a server's request. */
function answer(request: { id: string; method: string; params: Params }): void {
  const text = JSON.stringify({ jsonrpc: "2.0", id: request.id, result: answerTo(request) });
  // It comes from the client, later.
  setImmediate(() => questions.receive({ session: SESSION }, text));
}

function answerTo({ params }: { params: Params }): object {
  const { properties = {} } = params["requestedSchema"] as Schema;
  return { action: "accept", content: made({ properties, required: Object.keys(properties) }) };
}

/** What is required, each with its default or some value of its type. */
function made({ properties = {}, required = [] }: Schema): Record<string, any> {
  return Object.fromEntries(required.map((key) => [key, properties[key]?.default ?? VALUES[properties[key]?.type]]));
}
