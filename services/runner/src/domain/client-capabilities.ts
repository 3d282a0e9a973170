import type { ClientSide } from "@tollgate/contracts";

type Capabilities = Readonly<Record<string, unknown>>;

/** What a server can use of its client, and what tells one client from another in its eyes. */
const USED = ["sampling", "elicitation", "roots", "tasks"] as const;
const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";

/**
 * What a legacy server may use of this client; undefined for nothing, which is what any client has. A modern client's
 * tasks are an extension that legacy servers do not know.
 */
export function usableCapabilities(client: ClientSide, allowed: readonly string[]): Capabilities | undefined {
  let usable: Record<string, unknown> | undefined;
  for (const name of USED) {
    if (client.capabilities[name] === undefined || !allowed.includes(name)) continue;
    if (name !== "tasks" || client.era === "legacy") (usable ??= {})[name] = client.capabilities[name];
  }
  return usable;
}

/** The client's capabilities without those that this server may not use. The same object when none is taken away. */
export function allowedCapabilities(capabilities: Capabilities, allowed: readonly string[]): Capabilities {
  const extensions = capabilities["extensions"] as Capabilities | undefined;
  const withTasks = !allowed.includes("tasks") && extensions?.[TASKS_EXTENSION] !== undefined;
  const forbidden = USED.filter((name) => capabilities[name] !== undefined && !allowed.includes(name));
  if (forbidden.length === 0 && !withTasks) return capabilities;
  const left = Object.entries(capabilities).filter(([name]) => !forbidden.some((each) => each === name));
  if (!withTasks || extensions === undefined) return Object.fromEntries(left);
  const { [TASKS_EXTENSION]: _tasks, ...others } = extensions;
  return { ...Object.fromEntries(left), extensions: others };
}

/** The capability that a client needs to be asked this. */
export function capabilityFor(method: string): string {
  return method.slice(0, method.indexOf("/"));
}

/** Whether a client with these capabilities can be asked this. What is not known here is the client's to judge. */
export function canBeAsked(capabilities: Capabilities, method: string): boolean {
  const needed = USED.find((name) => name === capabilityFor(method));
  return needed === undefined || capabilities[needed] !== undefined;
}
