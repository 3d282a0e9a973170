import { parseArgs } from "node:util";
import { startSharedServers } from "@tollgate/testkit";
import { startLoad } from "./load.ts";
import { renderLoad, renderSilence, renderTrials } from "./report.ts";
import { playSilence } from "./silence.ts";
import { onStage, type Stage } from "./stage.ts";
import { openBackground, playTrials } from "./trials.ts";

const WARM_UP_MS = 5_000;

const { values } = parseArgs({
  options: {
    trials: { type: "string", default: "200" },
    /** Calls per second, over all gateways. */
    rate: { type: "string", default: "1000" },
  },
});
const [trials, rate] = [Number(values.trials), Number(values.rate)];

process.exitCode = await run();

async function run(): Promise<number> {
  if (!Number.isInteger(trials) || !(trials > 0) || !(rate > 0)) {
    process.stderr.write("Usage: npm run revocation -- [--trials N] [--rate CALLS_PER_SECOND]\n");
    return 2;
  }
  const shared = await startSharedServers("embedded");
  try {
    return (await onStage(shared, play)) === 0 ? 0 : 1;
  } finally {
    await shared.stop();
  }
}

/** How many calls were let in that must not be. */
async function play(stage: Stage): Promise<number> {
  const load = startLoad();
  try {
    const background = await openBackground(stage, load);
    await load.setRate(rate);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    const results = await playTrials(stage, load, trials);
    process.stdout.write(renderTrials(results));
    process.stdout.write(renderLoad((await Promise.all(background.map((name) => load.look(name)))).flat()));
    const silence = await playSilence(stage, load, background);
    process.stdout.write(renderSilence(silence));
    const admitted = results.reduce((sum, each) => sum + each.admittedAfter + each.sentAfterAndLetIn, 0);
    return admitted + silence.letInAfter + silence.admittedAfter;
  } finally {
    load.stop();
  }
}
