import { basename } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type DesiredAgent,
  type DesiredState,
  type DesiredToken,
  followDesiredState,
  publicUrlOf,
} from "@tollgate/desired-state";
import { AppError } from "@tollgate/errors";
import type { Life, Log } from "@tollgate/service";
import type { ClientBase } from "pg";
import { type Authority, changes } from "./authority.ts";
import type { PolicyConfig } from "../config.ts";
import { planFile } from "../domain/file-entries.ts";
import { describeMistakes, samePolicy, toWritten, type WrittenPolicy } from "../domain/policy.ts";
import { agentId, planAgents, type WantedAgent } from "../domain/principal.ts";
import { NO_SETTINGS, type SettingName, type Settings } from "../domain/settings.ts";
import { hashToken, planTokens, tokenProblem, type WantedToken } from "../domain/token.ts";
import { readFileEntries, writeFileEntries } from "../store/file-entries.ts";
import { deletePolicy, putPolicy, readPolicies } from "../store/policies.ts";
import { putPrincipal, readPrincipals, removePrincipal } from "../store/principals.ts";
import { readSettings, writeSetting } from "../store/settings.ts";
import { putFileToken, readTokens, removeTokens } from "../store/tokens.ts";
import { replaceLimits } from "./limit-changes.ts";
import type { Opa } from "./opa.ts";
import type { PolicyMetrics } from "../metrics.ts";

/** Keeps the tokens, the issuer and the policies of the user's file in force, now and at every change of it. */
export async function followFile(options: {
  readonly config: PolicyConfig;
  readonly authority: Authority;
  readonly opa: Opa;
  readonly metrics: PolicyMetrics;
  readonly life: Life;
  readonly log: Log;
}): Promise<void> {
  const { config, authority, opa, metrics, life, log } = options;
  const file = config.configFile;

  async function apply(desired: DesiredState): Promise<void> {
    const tokens = desired.controlPlane.tokens.map(toWantedToken);
    const agents = desired.controlPlane.agents.map(toWantedAgent);
    const policies = toPolicies(desired);
    const settings = toSettings(desired, await opa.prepare(desired.controlPlane.opa));
    const before = authority.current();
    const state = await authority.apply(async (client) => [
      ...changes("principals", await replaceAgents(client, agents, basename(file))),
      ...changes("tokens", await replaceTokens(client, tokens)),
      ...changes("settings", await replaceSettings(client, settings)),
      ...(await replaceLimits(client, desired.limits, basename(file))),
      ...changes("policies", await replacePolicies(client, policies, basename(file))),
    ]);
    opa.settle();
    for (const warning of desired.warnings) log.warn({ warning }, "the configuration file could be better");
    log.info(
      { file, tokens: tokens.length, policies: policies.length, revision: state.revision },
      "configuration applied",
    );
    if (state.revision !== before.revision) metrics.changes.inc({ kind: "file" });
    const admins = [...state.tokens.byName.values()].filter((token) => token.permissions.includes("admin"));
    if (admins.every((token) => tokenProblem(token, Date.now()))) {
      log.warn("no usable token has the permission admin: the management API is closed to everybody");
    }
  }

  await followDesiredState({
    file,
    env: config.env,
    // Servers' secrets are none of this service's business.
    sections: ["control_plane", "policies", "risk_levels", "limits"],
    signal: life.signal,
    apply,
    fingerprint: () => opa.fingerprint(),
    onProblem: (error) =>
      log.error({ err: error, file }, "the configuration file was not applied; what was in force stays so"),
  });
}

async function replaceTokens(client: ClientBase, wanted: readonly WantedToken[]): Promise<boolean> {
  const { remove, put } = planTokens(await readTokens(client), wanted);
  if (remove.length > 0) await removeTokens(client, remove);
  for (const token of put) await putFileToken(client, token);
  return remove.length > 0 || put.length > 0;
}

async function replaceAgents(client: ClientBase, wanted: readonly WantedAgent[], actor: string): Promise<boolean> {
  const { remove, put } = planAgents((await readPrincipals(client)).principals, wanted);
  for (const agent of remove) await removePrincipal(client, agent);
  for (const { source, ...agent } of put) await putPrincipal(client, agent, { source, actor });
  return remove.length > 0 || put.length > 0;
}

async function replaceSettings(client: ClientBase, wanted: Settings): Promise<boolean> {
  const stored = { ...NO_SETTINGS, ...(await readSettings(client)) };
  const changed = (Object.keys(wanted) as SettingName[]).filter(
    (name) => !isDeepStrictEqual(stored[name], wanted[name]),
  );
  for (const name of changed) await writeSetting(client, name, wanted[name]);
  return changed.length > 0;
}

async function replacePolicies(client: ClientBase, wanted: readonly WrittenPolicy[], actor: string): Promise<boolean> {
  const said = await readFileEntries(client, "policy");
  const { remove, put, entries } = planFile({ said, stored: await readPolicies(client), wanted, isSame: samePolicy });
  for (const policy of remove) await deletePolicy(client, policy, actor);
  for (const policy of put) await putPolicy(client, policy, { source: "file", actor });
  await writeFileEntries(client, "policy", entries);
  return remove.length > 0 || put.length > 0;
}

function toWantedToken({ token, agent, expiresAtMs, ...rest }: DesiredToken): WantedToken {
  return { ...rest, agent: agent === undefined ? "" : agentId(agent), sha256: hashToken(token), expiresAtMs };
}

function toWantedAgent({ name, tenant, team, roles }: DesiredAgent): WantedAgent {
  return { id: agentId(name), tenant, team, roles };
}

function toSettings({ controlPlane, riskLevels }: DesiredState, opa: Settings["opa"]): Settings {
  const { oauth, certificates } = controlPlane;
  const settings: Settings = {
    riskLevels,
    opa,
    certificates: certificates.map((each) => ({ ...each, agent: agentId(each.agent) })),
    oauth: oauth.map((each) => ({ ...each, publicUrl: publicUrlOf(controlPlane) })),
  };
  // Without the keys that have no value, as it comes back from the database.
  return JSON.parse(JSON.stringify(settings)) as Settings;
}

/** @throws {AppError} for Cedar text that does not fit, with its place */
export function toPolicies({ policies }: Pick<DesiredState, "policies">): WrittenPolicy[] {
  const parsed = policies.map((policy) => ({ policy, result: toWritten(policy) }));
  const mistakes = parsed.flatMap(({ policy, result }) =>
    result.ok ? [] : [`policies "${policy.name}" ${describeMistakes(result.mistakes)}`],
  );
  if (mistakes.length > 0) {
    throw new AppError("invalid_argument", `the configuration file has mistakes:\n  ${mistakes.join("\n  ")}`, {
      details: { mistakes },
    });
  }
  return parsed.flatMap(({ result }) => (result.ok ? [result.value] : []));
}
