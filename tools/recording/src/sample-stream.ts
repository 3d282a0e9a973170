import { randomBytes } from "node:crypto";
import type { Bus } from "@tollgate/bus";
import { createEventPublisher } from "@tollgate/bus";
import type { AuditEvent, CallEvent, Outcome } from "@tollgate/contracts";
import { callEvent, refusalEvent } from "@tollgate/testkit";

const TENANTS = 8;
const TEAMS = 50;
const PRINCIPALS = 500;
const SERVERS = 20;
const TOOLS = 100;
/** Of a hundred: refusals, then calls that did not end well, then cold starts. */
const REFUSALS = 2;
const FAILURES: readonly Exclude<Outcome, "ok">[] = ["error", "error", "error", "timeout", "unknown"];
const COLD_STARTS = 1;
const IN_FLIGHT_MAX = 4_096;

/** Events as a busy installation has them, `everyMs` apart, the same for every run but for their ids. */
function sampleEvent(i: number, startMs: number, everyMs: number): AuditEvent {
  const at = startMs + Math.floor(i * everyMs);
  // Spread without a pattern that an index could make use of.
  const some = (count: number, salt: number): number => (Math.imul(i + salt, 2_654_435_761) >>> 8) % count;
  const server = some(SERVERS, 1);
  const principal = some(PRINCIPALS, 2);
  const about = {
    tenant: `tenant-${principal % TENANTS}`,
    team: `team-${principal % TEAMS}`,
    principal: principal % 3 === 0 ? `agent:worker-${principal}` : `user:person-${principal}`,
    group: `group-${server % 5}`,
    server: `server-${server}`,
    tool: `tool-${(some(TOOLS / SERVERS, 3) * SERVERS + server) % TOOLS}`,
  };
  const chance = some(100, 4);
  if (chance < REFUSALS) return refusalEvent({ ...about, endedAt: at, client: "sample/1.0" });
  return sampleCall(about, { at, chance: chance - REFUSALS, bytes: some(4_000, 5), ms: some(1_000, 6), i });
}

function sampleCall(
  about: Partial<CallEvent>,
  { at, chance, bytes, ms, i }: { at: number; chance: number; bytes: number; ms: number; i: number },
): CallEvent {
  const outcome = FAILURES[chance] ?? "ok";
  const cold = chance >= FAILURES.length && chance < FAILURES.length + COLD_STARTS;
  return callEvent({
    ...about,
    acceptedAt: at,
    startedAt: at + 1,
    endedAt: at + 1 + ms,
    durationMs: ms + 0.125,
    requestBytes: 100 + (bytes % 700),
    responseBytes: 200 + bytes,
    cpuMs: ms / 10,
    coldStart: cold,
    ...(cold ? { coldStartCalls: 1 + (ms % 4) } : {}),
    outcome,
    ...(outcome === "ok" ? {} : { reason: `the server answered with an error, number ${bytes}`, errorCode: -32_000 }),
    traceparent: `00-${randomBytes(16).toString("hex")}-00f067aa0ba902b7-01`,
    session: `session-${i % 997}`,
    argumentsHash: `k1:${i.toString(16).padStart(64, "0")}`,
    resultHash: `k1:${i.toString(16).padStart(64, "f")}`,
  });
}

/** Puts so many on AUDIT, up to now, in the order of their times. */
export async function fillStream(bus: Bus, count: number, { everyMs }: { everyMs: number }): Promise<void> {
  const publisher = createEventPublisher(bus, { waitingMax: IN_FLIGHT_MAX, timeoutMs: 60_000 });
  const startMs = Date.now() - count * everyMs;
  for (let at = 0; at < count; at += IN_FLIGHT_MAX) {
    const events = Array.from({ length: Math.min(IN_FLIGHT_MAX, count - at) }, (_, i) =>
      sampleEvent(at + i, startMs, everyMs),
    );
    await Promise.all(events.map((event) => publisher.publish(event)));
  }
}
