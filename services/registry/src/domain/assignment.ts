import { createHash } from "node:crypto";
import { registryV1 } from "@tollgate/contracts";
import type { DesiredServer, DesiredState } from "@tollgate/desired-state";

/** How to start or reach a server, with its secrets: for runners only, never logged, never stored. */
export function toAssignment(server: DesiredServer): registryV1.Assignment {
  const spec = {
    serverId: server.id,
    name: server.name,
    group: server.group,
    type: server.type,
    command: server.command,
    args: [...server.args],
    env: { ...server.env },
    workingDir: server.workingDir ?? "",
    startupTimeoutMs: server.startupTimeoutMs,
    url: server.url,
    transport: server.transport,
    headers: { ...server.headers },
    clientCapabilities: [...server.clientCapabilities],
    sessionContext: server.sessionContext,
    requirements: server.requirements,
    healthCheckIntervalMs: server.healthCheckIntervalMs,
    pool: { ...server.pool },
    limits: {
      ...server.limits,
      memoryBytes: BigInt(server.limits.memoryBytes),
      outputBytes: BigInt(server.limits.outputBytes),
    },
    sandbox: { ...server.sandbox, read: [...server.sandbox.read], write: [...server.sandbox.write] },
    // How its process runs does not depend on it.
    toolRules: toToolRules(server).map((rule) => ({ ...rule, risk: "" })),
    secretNames: [...server.secretNames],
    connector: server.connector === undefined ? "" : JSON.stringify(server.connector),
  };
  return { ...spec, secrets: [...server.secrets], specHash: hashSpec(spec), generation: 0n };
}

export function toToolRules({ toolRules }: Pick<DesiredServer, "toolRules">): registryV1.ToolRule[] {
  return toolRules.map((rule) => ({ ...rule, fallbacks: [...rule.fallbacks] }));
}

/** SHA-256, hex, over all that decides how the server runs; the order of variables and of headers does not. */
function hashSpec(spec: Omit<registryV1.Assignment, "specHash" | "generation" | "secrets">): string {
  const parts = [
    spec.serverId,
    spec.name,
    spec.group,
    spec.type,
    spec.command,
    spec.args,
    sortedEntries(spec.env),
    spec.workingDir,
    spec.startupTimeoutMs,
    spec.url,
    spec.transport,
    sortedEntries(spec.headers),
    spec.clientCapabilities,
    spec.sessionContext,
    spec.requirements,
    spec.healthCheckIntervalMs,
    spec.pool,
    spec.limits,
    spec.sandbox,
    spec.toolRules,
    spec.secretNames,
    spec.connector,
  ];
  const text = JSON.stringify(parts, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  return createHash("sha256").update(text).digest("hex");
}

function sortedEntries(map: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** What all runners together are to run: every enabled server whose secrets are there. */
export interface Assignments {
  readonly revision: bigint;
  readonly groups: readonly string[];
  readonly assignments: readonly registryV1.Assignment[];
}

export function assignmentsOf(
  desired: Pick<DesiredState, "groups" | "servers">,
  { revision, generationOf }: { revision: bigint; generationOf: (server: string) => bigint },
): Assignments {
  const enabled = desired.servers.filter((server) => server.enabled && server.withheld === undefined);
  return {
    revision,
    groups: desired.groups.map(({ id }) => id),
    assignments: enabled.map((server) => ({ ...toAssignment(server), generation: generationOf(server.id) })),
  };
}

/** How much all of them are in the message of a runner that serves every group, those that are disabled or wait too. */
export function bytesOfAssignments({ servers }: Pick<DesiredState, "servers">): number {
  return servers.reduce((sum, each) => sum + registryV1.Assignment.encode(toAssignment(each)).finish().length, 0);
}

/** The part of a runner that asked for `groups`; for none it is everything. */
export function assignmentsFor(all: Assignments, groups: readonly string[]): registryV1.WatchAssignmentsResponse {
  const asked = new Set(groups);
  const covers = (group: string): boolean => asked.size === 0 || asked.has(group);
  return {
    revision: all.revision,
    groups: all.groups.filter(covers),
    assignments: all.assignments.filter(({ group }) => covers(group)),
  };
}

/** Whether both give every runner the same to do. */
export function isSameWork(a: Assignments, b: Assignments): boolean {
  const work = ({ groups, assignments }: Assignments): string =>
    JSON.stringify([groups, assignments.map(({ specHash, generation }) => [specHash, String(generation)])]);
  return work(a) === work(b);
}
