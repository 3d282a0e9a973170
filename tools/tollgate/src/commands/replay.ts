import { resolve } from "node:path";
import { Option } from "commander";
import { type Declare, integer, more, time } from "../command.ts";
import type { Terminal } from "../terminal.ts";

const LIMIT_MAX = 100_000;
const LIMIT_DEFAULT = 1_000;

interface CallsOptions {
  readonly server: string;
  readonly against?: string;
  readonly tool?: string;
  readonly tenant?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly ignore?: readonly string[];
  readonly resume?: string;
}

export const declare: Declare = (command, act) => {
  command
    .command("calls")
    .description("Runs recorded calls of read-only tools again, and shows what has changed: docs/replay.md.")
    .requiredOption("--server <id>", "whose calls")
    .option("--against <id>", "another server that is asked in its place")
    .option("--tool <name>", "of this tool only")
    .option("--tenant <name>", "of this tenant only")
    .option("--from <time>", "since then", time)
    .option("--to <time>", "before then", time)
    .addOption(new Option("--limit <n>", "the newest so many").argParser(integer(1, LIMIT_MAX)).default(LIMIT_DEFAULT))
    .option("--ignore <path>", "a place in results that may differ, such as content[*].text; may be given again", more)
    .option("--resume <file>", "keep what is done there, and go on from it")
    .action(
      act<CallsOptions>(async ({ options, terminal, target, here }) => {
        const { server, against, tool, tenant, from, to, limit, ignore = [], resume } = options;
        const asked = { server, against, tool, tenant, from, to, limit, ignore };
        const resumeFile = resume === undefined ? undefined : resolve(here, resume);
        const { replayCalls } = await import("../replay-calls.ts");
        const output = outputOf(terminal, options.json === true);
        const result = await replayCalls({ ...asked, resumeFile }, { gateway: await target(), output });
        if (options.json === true) terminal.line(JSON.stringify(result));
        return result.different + result.failed === 0 ? 0 : 1;
      }),
    );
  command
    .command("rebuild")
    .description("Brings the stream into an empty database, and compares it with the one in use.")
    .option("--database <url>", "of a superuser (default: a database beside the installation's own)")
    .action(
      act<{ database?: string }>(async ({ options, root, state, env, terminal }) => {
        const [{ readConnect }, { openSecrets }, { rebuild }] = await Promise.all([
          import("../connect.ts"),
          import("../secrets.ts"),
          import("../replay-rebuild.ts"),
        ]);
        const output = outputOf(terminal, options.json === true);
        const asked = { root, state, connect: readConnect(state), secrets: openSecrets(state), env, output };
        const same = await rebuild({ ...asked, databaseUrl: options.database });
        if (options.json === true) terminal.line(JSON.stringify({ same }));
        return same ? 0 : 1;
      }),
    );
};

/** With --json the standard output has the result alone. */
function outputOf({ line, progress }: Terminal, isJson: boolean) {
  return { line: isJson ? progress : line, progress };
}
