import type { Declare } from "../command.ts";

export const declare: Declare = (command, act) => {
  command.description("Ends what was started here (npm stop).").action(
    act(async ({ state }) => {
      const { stop } = await import("../stop.ts");
      const text = await stop(state);
      return { answer: { stopped: text }, text };
    }),
  );
};
