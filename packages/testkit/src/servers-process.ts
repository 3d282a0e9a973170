// The process that has the servers of a test run, as long as the channel to the run is open; see test-servers.ts.
import { startContainers } from "./containers.ts";
import { startEmbedded } from "./embedded-servers.ts";

/** Each test file has streams of its own, and streams reserve what they may hold. */
const STORE_MAX_GIGABYTES = 2_000;

const start = process.argv[2] === "containers" ? startContainers : startEmbedded;
const starting = start({ storeMaxGigabytes: STORE_MAX_GIGABYTES });

process.once("disconnect", () => {
  const stopped = starting.then((servers) => servers.stop());
  stopped.then(
    () => process.exit(),
    () => process.exit(1),
  );
});

try {
  const { natsUrl, adminUrl } = await starting;
  if (process.connected) process.send?.({ natsUrl, adminUrl });
} catch (error) {
  process.stderr.write(`${(error as Error).stack}\n`);
  process.exit(1);
}
