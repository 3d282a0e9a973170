import { type Declare, integer, more, time } from "../command.ts";
import { declareList, placeOf } from "../resources.ts";
import { column, type Row } from "../table.ts";

const TOKENS = {
  path: "/api/v1/tokens",
  noun: "token",
  columns: [
    "name",
    "tenant",
    "team",
    "agent",
    "permissions",
    "roles",
    "source",
    "expiresAt",
    "revokedAt",
    "lastUsedAt",
  ].map((name) => column(name)),
  filters: [
    { name: "tenant", description: "of this tenant" },
    { name: "agent", description: "that stand for this agent" },
    { name: "source", description: "where they are from", choices: ["file", "api"] },
    { name: "usable", description: "neither revoked nor expired, or one of the two", choices: ["true", "false"] },
  ],
};
const OVERLAP_MAX_SECONDS = 7 * 86_400;

interface NewToken {
  readonly tenant?: string;
  readonly team?: string;
  readonly role?: readonly string[];
  readonly permission?: readonly string[];
  readonly agent?: string;
  readonly expires?: string;
}

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("The tokens, without their secrets."), act, TOKENS);
  command
    .command("create")
    .description("Make a token; its secret is shown this once.")
    .argument("<name>")
    .option("--tenant <name>")
    .option("--team <name>")
    .option("--role <name>", "may be given again", more)
    .option("--permission <permission>", "mcp, mcp:GROUP, mcp:GROUP/SERVER or admin; may be given again", more)
    .option("--agent <agent>", "whom it stands for, such as agent:deployer")
    .option("--expires <time>", "when it ends", time)
    .action(
      act<NewToken>(async ({ args: [name], options, api, terminal }) => {
        const { tenant, team, role: roles, permission: permissions, agent, expires: expiresAt } = options;
        const body = { name, tenant, team, roles, permissions, agent, expiresAt };
        const answer = await (await api()).send("POST", TOKENS.path, { body });
        return { answer, text: secretText(answer, terminal.facts) };
      }),
    );
  command
    .command("rotate")
    .description("Give it a new secret, which is shown this once.")
    .argument("<name>")
    .option("--overlap <seconds>", "for how long the present one goes on", integer(0, OVERLAP_MAX_SECONDS))
    .option("--expires <time>", "when it ends (default: as before)", time)
    .action(
      act<{ overlap?: number; expires?: string }>(async ({ args: [name], options, api, terminal }) => {
        const body = { overlapSeconds: options.overlap, expiresAt: options.expires };
        const answer = await (await api()).send("POST", `${placeOf(TOKENS, name!)}/rotate`, { body });
        return { answer, text: secretText(answer, terminal.facts) };
      }),
    );
  command
    .command("revoke")
    .description("When this returns, no gateway takes it any more.")
    .argument("<name>")
    .action(
      act(async ({ args: [name], api }) => {
        const answer = await (await api()).send("DELETE", placeOf(TOKENS, name!));
        return { answer, text: `The token ${name} is revoked.` };
      }),
    );
};

function secretText({ secret, revision: _revision, ...rest }: Row, facts: (row: Row) => string): string {
  return `${facts({ ...rest, secret })}\n\nIts secret is shown this once: only its hash is kept.`;
}
