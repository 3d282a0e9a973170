import type { Api } from "../api.ts";
import { type Row, textOf } from "../table.ts";
import { type Finding, ok, problem, some, warning } from "./finding.ts";

const LISTED_MAX = 10_000;
const GRAVE = new Set(["HIGH", "CRITICAL"]);

/** What the gateway knows of; what the token may not see, or an older gateway has not, is left out and said. */
export async function checkCatalogue(api: Api): Promise<Finding[]> {
  const list = async (path: string): Promise<readonly Row[] | undefined> => {
    try {
      return (await api.list(path, { limit: LISTED_MAX })).items;
    } catch {
      unseen.push(path);
      return undefined;
    }
  };
  const unseen: string[] = [];
  const servers = await list("/api/v1/servers");
  const tools = await list("/api/v1/tools");
  const tokens = await list("/api/v1/tokens");
  const drift = await driftOf(api, unseen);
  return [
    ...(servers === undefined ? [] : checkServers(servers)),
    ...(tools === undefined ? [] : checkTools(tools)),
    ...(tokens === undefined
      ? []
      : [...checkTokens(tokens), ...checkApprovers([...(tools ?? []), ...(servers ?? [])], tokens)]),
    ...drift,
    ...(unseen.length === 0
      ? []
      : [
          warning(
            `could not be looked at: ${unseen.join(", ")}`,
            "use a token with the permission admin, and a gateway of this version",
          ),
        ]),
  ];
}

async function driftOf(api: Api, unseen: string[]): Promise<Finding[]> {
  try {
    const { items } = await api.list("/api/v1/drift", { limit: LISTED_MAX });
    if (items.length === 0) return [ok("what is in force is what the file says")];
    const names = items.map(({ kind, id }) => `${textOf(kind)} ${textOf(id)}`);
    return [
      warning(
        `otherwise than the file says: ${some(names)}`,
        "tollgate drift shows it; put it into the file, or apply the file",
      ),
    ];
  } catch {
    unseen.push("/api/v1/drift");
    return [];
  }
}

export function checkServers(servers: readonly Row[]): Finding[] {
  const found: Finding[] = [];
  const enabled = servers.filter(({ status }) => status !== "disabled");
  for (const { id, status, reason } of enabled.filter((each) => each["status"] !== "ready"))
    found.push(
      problem(
        `the server ${textOf(id)} is ${textOf(status)}${reason === "" ? "" : `: ${textOf(reason)}`}`,
        `tollgate servers health ${textOf(id)}`,
      ),
    );
  const free = enabled.filter((each) => each["isolation"] === "none" && !isReached(each)).map(({ id }) => textOf(id));
  if (free.length > 0)
    found.push(
      warning(
        `processes that see the whole machine: ${some(free)}`,
        "install bubblewrap, and say sandbox: { mode: required }",
      ),
    );
  const unbound = enabled.filter((each) => each["limitsBy"] === "none" && !isReached(each)).map(({ id }) => textOf(id));
  if (unbound.length > 0)
    found.push(
      warning(`processes that nothing holds to their limits: ${some(unbound)}`, "docs/configuration.md, limits"),
    );
  if (!found.some(({ level }) => level === "problem")) found.push(ok(`${enabled.length} servers are ready`));
  return found;
}

/** It has no processes here. */
function isReached({ type }: Row): boolean {
  return type === "remote" || type === "connector" || type === "container";
}

export function checkTools(tools: readonly Row[]): Finding[] {
  const held = tools.filter(({ hold }) => hold !== undefined && hold !== null && hold !== "").map(nameOf);
  if (held.length === 0) return [];
  return [
    warning(
      `tools that are kept back: ${some(held)}`,
      "tollgate tools versions SERVER TOOL shows the change; tools approve, or reject",
    ),
  ];
}

function nameOf({ server, name }: Row): string {
  return `${textOf(server)}:${textOf(name)}`;
}

function checkTokens(tokens: readonly Row[]): Finding[] {
  const endless = tokens.filter(
    ({ source, expiresAt, revokedAt }) => source === "api" && expiresAt === null && revokedAt === null,
  );
  if (endless.length === 0) return [];
  const names = some(endless.map(({ name }) => textOf(name)));
  return [warning(`tokens that never expire: ${names}`, "tollgate tokens rotate NAME --expires TIME")];
}

/** Somebody else has to approve: of one person alone, nothing is. */
export function checkApprovers(rated: readonly Row[], tokens: readonly Row[]): Finding[] {
  const grave = rated.filter(({ risk }) => GRAVE.has(textOf(risk)));
  const deciders = tokens.filter(
    ({ permissions, revokedAt }) => revokedAt === null && (permissions as string[]).includes("admin"),
  );
  if (grave.length === 0 || deciders.length > 1) return [];
  const names = some(grave.map((each) => (each["server"] === undefined ? textOf(each["id"]) : nameOf(each))));
  return [
    warning(
      `of risk HIGH or CRITICAL, with at most one token that may approve: ${names}`,
      "give approvers tokens of their own, and a policy for admin/approvals/decide: docs/risk.md",
    ),
  ];
}
