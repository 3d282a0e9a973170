import type { Declare } from "../command.ts";
import { column, type Row, textOf } from "../table.ts";

const PERCENT = 100;
const PARTS = [
  column("name", "part"),
  { title: "state", of: ({ ready }: Row) => (ready === true ? "ready" : "not ready") },
  ...["version", "migration", "behind", "host", "startedAt"].map((name) => column(name)),
  {
    title: "why",
    of: ({ reasons }: Row) =>
      Object.values((reasons ?? {}) as Row)
        .map(textOf)
        .join("; "),
  },
];
const STREAMS = [
  column("name", "stream"),
  column("messages"),
  { title: "full", of: (row: Row) => `${((PERCENT * Number(row["bytes"])) / Number(row["maxBytes"])).toFixed(1)} %` },
  column("oldestAt", "oldest"),
];

export const declare: Declare = (command, act) => {
  command
    .description(
      "How the gateway, the services behind it and the streams are. Exits with 1 where something is not ready.",
    )
    .action(
      act(async ({ api, terminal }) => {
        const client = await api();
        const answer = await client.get("/api/v1/health");
        const missing = (answer["missing"] as string[]).map((name) => ({
          name,
          reasons: { answer: "nobody answers" },
        }));
        const counts = Object.entries(answer["servers"] as Row).map(([status, count]) => `${textOf(count)} ${status}`);
        const text = [
          `${client.url}: ${terminal.toned(textOf(answer["status"]))}`,
          `servers: ${counts.join(", ") || "none"}`,
          "",
          terminal.table(PARTS, [...(answer["parts"] as Row[]), ...missing]),
          "",
          terminal.table(STREAMS, answer["streams"] as Row[]),
        ].join("\n");
        return { answer, text, code: answer["status"] === "ready" ? 0 : 1 };
      }),
    );
};
