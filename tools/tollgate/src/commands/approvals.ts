import type { Command } from "commander";
import { type Act, type Declare, said } from "../command.ts";
import { declareList, declareShow, placeOf } from "../resources.ts";
import { column, type Row, textOf } from "../table.ts";

const APPROVALS = {
  path: "/api/v1/approvals",
  noun: "approval",
  isOrdered: true as const,
  columns: [
    column("id"),
    column("status"),
    column("principal"),
    { title: "tool", of: (row: Row) => `${textOf(row["server"])}:${textOf(row["tool"])}` },
    column("risk"),
    {
      title: "votes",
      of: ({ votes, needed }: Row) =>
        `${(votes as { approve: boolean }[]).filter(({ approve }) => approve).length} of ${textOf(needed)}`,
    },
    column("expiresAt"),
    column("justification"),
  ],
  filters: [
    { name: "status", description: "how they stand", choices: ["pending", "approved", "denied", "expired", "revoked"] },
    { name: "tenant", description: "of this tenant" },
    { name: "principal", description: "of this principal" },
  ],
};

export const declare: Declare = (command, act) => {
  declareList(command.command("list").description("Requests, what has changed last first."), act, APPROVALS);
  declareShow(command.command("show").description("One request, with the call's arguments."), act, APPROVALS);
  declareDecision(
    command.command("approve"),
    act,
    "Approve of a call; the last approval needed gives the access.",
  ).option("--reason <text>", "why, for people");
  declareDecision(command.command("deny"), act, "Deny a call.").requiredOption("--reason <text>", "why, for people");
};

function declareDecision(command: Command, act: Act, description: string): Command {
  return command
    .description(description)
    .argument("<id>")
    .action(
      act<{ reason?: string }>(async ({ args: [id], options: { reason = "" }, api }) => {
        const path = `${placeOf(APPROVALS, id!)}/${command.name()}`;
        const answer = await (await api()).send("POST", path, { body: { reason } });
        const { server, tool, principal, status } = answer;
        return said(answer, `${textOf(server)}:${textOf(tool)} for ${textOf(principal)} is ${textOf(status)}.`);
      }),
    );
}
