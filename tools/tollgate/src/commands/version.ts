import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Declare } from "../command.ts";
import { textOf } from "../table.ts";

export const declare: Declare = (command, act) => {
  command.description("The version of this command, and of the gateway where one answers.").action(
    act(async ({ root, api }) => {
      const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
      const health = await api()
        .then((client) => client.get("/api/v1/health"))
        .catch(() => undefined);
      const answer = { command: version, node: process.version, gateway: health?.["version"] ?? null };
      const gateway = health === undefined ? "none that answers" : textOf(answer.gateway);
      return { answer, text: `tollgate ${version}, Node ${process.version}; gateway: ${gateway}` };
    }),
  );
};
