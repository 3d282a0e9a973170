import { resolve } from "node:path";
import { InvalidArgumentError } from "commander";
import type { Declare } from "../command.ts";
import type { UpCommand } from "../up.ts";

interface Options {
  readonly detach?: true;
  readonly background?: true;
  readonly reset?: true;
  readonly port?: number;
  readonly config?: string;
}

export const declare: Declare = (command, act) => {
  command
    .description("Starts Tollgate on this machine (npm start): NATS, PostgreSQL and the six services.")
    .option("--detach", "return when it is ready")
    .option("--port <n>", "the gateway's port; 0 picks a free one (default: the configuration file's)", port)
    .option("--config <file>", "another tollgate.yaml")
    .option("--reset", "forget all state first: tokens, events, streams, files")
    .addOption(command.createOption("--background", "started by --detach").hideHelp())
    .action(
      act<Options>(async ({ options, words, script, root, here, state, env }) => {
        if (options.detach === true) {
          const { startInBackground } = await import("../detach.ts");
          return startInBackground({ script, words: words.filter((word) => word !== "--detach"), state });
        }
        const { launch } = await import("../launch.ts");
        const asked: UpCommand = {
          background: options.background === true,
          reset: options.reset === true,
          port: options.port,
        };
        const configFile =
          options.config === undefined ? resolve(root, "tollgate.yaml") : resolve(here, options.config);
        return launch({ command: asked, root, state, configFile, env });
      }),
    );
};

function port(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new InvalidArgumentError("It has to be a number from 0 to 65535.");
}
