// Brings all of compose.yaml up from nothing, under a name and a port of its own, uses it as a user does, and takes it
// down again, volumes and image included, whatever happened.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

const UP_TIMEOUT_MS = 300_000;
const DOWN_TIMEOUT_MS = 120_000;
const COMMAND_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 30_000;
const MODERN = "2026-07-28";
const TOOL = { server: "everything", tool: "echo" };
const RUNNERS = 3;
const CALLS = 30;
const CALLS_AT_ONCE = 10;
const HYPERTABLES = ["audit.events", "metering.calls"];
/** The public image begins as root and goes on as its own user, in a file system that it writes to. */
const OWN_USER = "postgres";

const project = `tollgate-smoke-${process.pid}`;
const file = join(import.meta.dirname, "compose.yaml");
const port = await freePort();
const gatewayUrl = `http://127.0.0.1:${port}`;
const env = { ...process.env, TOLLGATE_PORT: String(port), TOLLGATE_IMAGE: `tollgate:smoke-${process.pid}` };
const scratch = mkdtempSync(join(tmpdir(), "tollgate-smoke-"));
const ending = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => ending.abort(new Error(signal)));

const startedAt = Date.now();
try {
  await test();
  say(`passed in ${Math.round((Date.now() - startedAt) / 1000)} s`);
} catch (error) {
  process.exitCode = 1;
  await showState().catch((problem) => say(problem.message));
  say(`FAILED: ${error.stack}`);
} finally {
  await takeDown().catch((error) => {
    process.exitCode = 1;
    say(`FAILED to take everything down: ${error.message}`);
  });
}

async function test() {
  say(`bringing up ${project} on port ${port}`);
  await compose(["up", "--detach", "--build", "--wait"], { timeoutMs: UP_TIMEOUT_MS });
  const token = await eventually(async () => {
    const screen = await compose(["logs", "--no-log-prefix", "gateway"]);
    const [, found] = / Token +(tg_\S+)/.exec(screen) ?? [];
    assert(found, "the gateway's log shows no token");
    return found;
  });
  say("the gateway's log shows the token");
  const { adminToken } = JSON.parse(await compose(["exec", "-T", "gateway", "cat", "/run/tollgate/connect.json"]));
  const api = (path) => getJson(`${gatewayUrl}${path}`, adminToken);
  await eventually(async () => {
    const { items } = await api("/api/v1/servers");
    assert.deepEqual(items.map(({ id, status }) => `${id} ${status}`).toSorted(), [
      "everything ready",
      "filesystem ready",
    ]);
  });
  say("both servers are ready");
  await callThroughGateway(token, "by HTTP");
  await callThroughBridge(token, "by the bridge");
  await readFileOfServer(token);
  await expectRecords(api, 2);
  await expectHypertables();
  await expectConfined();
  await expectScaling(token, api);
  await expectSecondUp(token, api);
}

async function callThroughGateway(token, message) {
  const { result } = await callTool(token, `${TOOL.server}__${TOOL.tool}`, { message });
  assert.match(result.content[0].text, new RegExp(message));
  if (message === "by HTTP") say(`${TOOL.tool} answers by HTTP`);
}

/** With the bridge that the image holds, so that a machine with nothing but Docker and Node has it. */
async function callThroughBridge(token, message) {
  const bridge = join(scratch, "tollgate-bridge.mjs");
  await compose(["cp", "gateway:/app/tools/bridge/dist/tollgate-bridge.mjs", bridge]);
  const child = spawn(process.execPath, [bridge], {
    env: { HOME: scratch, TOLLGATE_URL: `${gatewayUrl}/mcp`, TOLLGATE_TOKEN: token },
    stdio: ["pipe", "pipe", "inherit"],
    signal: AbortSignal.any([ending.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
  });
  const ended = new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  const send = (frame) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...frame })}\n`);
  const clientInfo = { name: "smoke-test", version: "1" };
  const call = { name: `${TOOL.server}__${TOOL.tool}`, arguments: { message } };
  send({ id: 1, method: "initialize", params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo } });
  for await (const line of createInterface({ input: child.stdout })) {
    const { id, result, error } = JSON.parse(line);
    assert.equal(error, undefined);
    if (id === 1) {
      send({ method: "notifications/initialized" });
      send({ id: 2, method: "tools/call", params: call });
    } else if (id === 2) {
      assert.match(result.content[0].text, new RegExp(message));
      child.stdin.end();
    }
  }
  await ended;
  assert.equal(child.exitCode, 0);
  say(`${TOOL.tool} answers through the bridge`);
}

async function readFileOfServer(token) {
  const { result } = await callTool(token, "filesystem__read_text_file", { path: "/files/welcome.txt" });
  assert.match(result.content[0].text, /only one that the server/);
  const outside = await callTool(token, "filesystem__read_text_file", { path: "/run/tollgate/env/runner.env" });
  assert.equal(outside.result.isError, true);
  say("the files server reads its own folder and no other");
}

async function expectRecords(api, calls) {
  await eventually(async () => {
    const query = new URLSearchParams({ ...TOOL, kind: "call" });
    const { items } = await api(`/api/v1/audit/events?${query}`);
    assert.equal(items.length, calls);
    assert(items.every(({ outcome, decision }) => outcome === "ok" && decision.reason !== ""));
    const usage = await api("/metering/usage?groupBy=server,tool");
    const used = usage.items.find(({ key }) => key.server === TOOL.server && key.tool === TOOL.tool);
    assert.equal(used?.calls, calls);
    assert(Number(used.cost) > 0);
  });
  say("audit and metering show the calls and their cost");
}

async function expectHypertables() {
  const query =
    "SELECT hypertable_schema || '.' || hypertable_name FROM timescaledb_information.hypertables ORDER BY 1";
  const psql = ["exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "tollgate", "-AtX", "-c", query];
  assert.deepEqual((await compose(psql)).trim().split("\n"), HYPERTABLES);
  say(`hypertables: ${HYPERTABLES.join(", ")}`);
}

async function expectConfined() {
  for (const service of (await compose(["ps", "--services"])).trim().split("\n")) {
    const id = (await compose(["ps", "--quiet", service])).trim();
    const [host] = JSON.parse(await docker(["inspect", "--format", "[{{json .HostConfig}}]", id]));
    assert.deepEqual(host.CapDrop, ["ALL"], service);
    assert(host.SecurityOpt.includes("no-new-privileges:true"), service);
    assert(host.Memory > 0, service);
    const published = Object.values(host.PortBindings ?? {}).flat();
    assert(
      published.every(({ HostIp }) => service === "gateway" && HostIp === "127.0.0.1"),
      service,
    );
    if (service === OWN_USER) continue;
    assert.equal(host.ReadonlyRootfs, true, service);
    assert.equal((await compose(["exec", "-T", service, "id", "-u"])).trim(), "1000", service);
    await assert.rejects(compose(["exec", "-T", service, "touch", "/written"]), /Read-only file system/, service);
  }
  const owner = await compose(["exec", "-T", OWN_USER, "stat", "-c", "%u", "/proc/1"]);
  assert.notEqual(owner.trim(), "0", OWN_USER);
  say("no service runs as root, has capabilities or writes to its image; only the gateway's port is open");
}

async function expectScaling(token, api) {
  await compose(["up", "--detach", "--wait", "--no-recreate", "--scale", `runner-demo=${RUNNERS}`, "runner-demo"]);
  const answeredBy = new Set();
  for (let done = 0; answeredBy.size < RUNNERS && done < 10 * CALLS; done += CALLS) {
    const from = Date.now();
    for (let batch = 0; batch < CALLS; batch += CALLS_AT_ONCE) {
      await Promise.all(Array.from({ length: CALLS_AT_ONCE }, () => callThroughGateway(token, "to any runner")));
    }
    const events = await eventually(async () => {
      const query = new URLSearchParams({ ...TOOL, kind: "call", from: String(from), limit: String(2 * CALLS) });
      const { items } = await api(`/api/v1/audit/events?${query}`);
      assert.equal(items.length, CALLS);
      return items;
    });
    for (const { runner } of events) answeredBy.add(runner);
    if (done === 0) assert(answeredBy.size > 1, "one runner answered all calls");
  }
  assert.equal(answeredBy.size, RUNNERS);
  say(`${RUNNERS} runners answer calls`);
}

/** Another "up" finds what the first one has made: the token is the same, and the records are there. */
async function expectSecondUp(token, api) {
  const before = await api("/metering/usage?groupBy=server,tool");
  await compose(["down"], { timeoutMs: DOWN_TIMEOUT_MS });
  await compose(["up", "--detach", "--wait"], { timeoutMs: UP_TIMEOUT_MS });
  await eventually(() => callThroughGateway(token, "after a restart"));
  await eventually(async () => {
    const { total } = await api("/metering/usage?groupBy=server,tool");
    assert.equal(total.calls, before.total.calls + 1);
  });
  say("after down and up the tokens and records are the same");
}

async function callTool(token, name, args) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const params = { name, arguments: args, _meta: meta };
  const response = await fetch(`${gatewayUrl}/mcp`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": MODERN,
      "mcp-method": "tools/call",
      "mcp-name": name,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params }),
    signal: AbortSignal.any([ending.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  const last = text.startsWith("{")
    ? text
    : text
        .match(/^data: .*$/gm)
        .at(-1)
        .slice("data: ".length);
  return JSON.parse(last);
}

async function getJson(url, token) {
  const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

async function eventually(check) {
  const until = Date.now() + ANSWER_TIMEOUT_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until || ending.signal.aborted) throw error;
      await delay(200);
    }
  }
}

function compose(args, options) {
  return docker(["compose", "--ansi", "never", "--project-name", project, "--file", file, ...args], options);
}

/** Gives the standard output. @throws with the end of what the command has written */
function docker(args, { timeoutMs = COMMAND_TIMEOUT_MS, signal = ending.signal } = {}) {
  signal.throwIfAborted();
  const child = spawn("docker", args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const output = { out: "", all: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => (output.out += text));
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output.all += text));
  const late = AbortSignal.timeout(timeoutMs);
  const stop = () => child.kill("SIGTERM");
  for (const each of [late, signal]) each.addEventListener("abort", stop);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      for (const each of [late, signal]) each.removeEventListener("abort", stop);
      if (code === 0) return resolve(output.out);
      const why = late.aborted ? `took longer than ${timeoutMs / 1000} s` : `ended with ${code}`;
      return reject(new Error(`docker ${args.join(" ")} ${why}:\n${output.all.slice(-4_000)}`));
    });
  });
}

async function showState() {
  const { signal } = new AbortController();
  process.stderr.write(await compose(["ps", "--all"], { signal }));
  process.stderr.write(await compose(["logs", "--no-color", "--tail", "30"], { signal }));
}

async function takeDown() {
  say("taking everything down");
  const { signal } = new AbortController();
  rmSync(scratch, { recursive: true, force: true });
  await compose(["down", "--volumes", "--remove-orphans", "--timeout", "20"], { signal, timeoutMs: DOWN_TIMEOUT_MS });
  await docker(["image", "rm", "--force", env.TOLLGATE_IMAGE], { signal });
  const left = execFileSync("docker", [
    "ps",
    "--all",
    "--quiet",
    "--filter",
    `label=com.docker.compose.project=${project}`,
  ]);
  assert.equal(left.toString(), "", "containers are left");
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port: found } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return found;
}

function say(text) {
  process.stdout.write(`smoke-test: ${text}\n`);
}
