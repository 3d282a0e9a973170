import { join } from "node:path";
import { Argument } from "commander";
import type { Declare } from "../command.ts";
import { completionScript, SHELLS } from "../completion-scripts.ts";

export const declare: Declare = (command, act) => {
  command
    .description("What a shell runs to complete commands, options and ids; also makes the command `tollgate` known.")
    .addArgument(new Argument("<shell>").choices(SHELLS))
    .addHelpText(
      "after",
      `
bash, zsh    eval "$(npx tollgate completion bash)"      in ~/.bashrc, or zsh in ~/.zshrc
fish         npx tollgate completion fish | source       in ~/.config/fish/config.fish`,
    )
    .action(
      act(async ({ args: [shell], root, script }) => {
        const program = join(root, "tools/tollgate/bin/tollgate.mjs");
        const text = completionScript(shell!, { node: process.execPath, program, script });
        return { answer: { shell, script: text }, text };
      }),
    );
};
