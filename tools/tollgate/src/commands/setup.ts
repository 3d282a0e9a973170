import type { Declare } from "../command.ts";

export const declare: Declare = (command, act) => {
  command.description("Readies an installation that something else starts, such as compose.").action(
    act(async ({ options, root, state, env, mistake }) => {
      if (options.state === undefined) mistake("setup needs --state DIR");
      const { setup } = await import("../setup.ts");
      const text = await setup({ root, state, env });
      return { answer: { state: state.dir }, text };
    }),
  );
};
