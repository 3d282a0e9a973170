import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "./config.ts";
import { lineBytesMax, readLines } from "./line-reader.ts";
import { openLog } from "./log.ts";
import { openLink } from "./open-link.ts";
import { openOutput } from "./output.ts";
import { knowsProxies, proxyVariable } from "./proxy.ts";
import { openRelay } from "./relay.ts";

/** After the client has closed its side: how long requests under way may still be answered. */
const drainMsMax = 1_000;
const endSessionMsMax = 500;
const flushMsMax = 250;

export interface BridgeOptions {
  readonly config: Config;
  /** Which tools it asks for, in words. */
  readonly chosen: string;
  readonly version: string;
  readonly nodeVersion: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly writeError: (line: string) => void;
  /** Aborted by a signal: the bridge then stops without waiting for answers. */
  readonly signal: AbortSignal;
}

/** Relays until the client closes stdin, stops reading stdout, or `signal` is aborted; then ends the session and returns. */
export async function runBridge(options: BridgeOptions): Promise<void> {
  const { config, version, signal } = options;
  const log = openLog(
    {
      level: config.log.level,
      ...(config.log.file !== undefined && { file: config.log.file }),
      bytesMax: config.log.bytesMax,
      rotateCount: config.log.rotateCount,
      secret: config.token,
    },
    options.writeError,
  );
  const cut = new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (signal.aborted) resolve();
  });
  let unread = (): void => {};
  const unreadOutput = new Promise<void>((resolve) => (unread = resolve));
  const output = openOutput(options.stdout, () => unread());
  const toolsCache = config.cache
    ? (await import("./tools-cache.ts")).openToolsCache({
        ...config.cache,
        url: config.url.href,
        token: config.token,
        log,
      })
    : undefined;
  const relay = await openRelay({
    openLink: (unasked) => openLink({ ...config, version, log, unasked }),
    output,
    log,
    retryAttempts: config.retryAttempts,
    retryBase: config.retryBase,
    toolsCache,
  });
  const proxy = proxyVariable(config.url, config.proxyEnv);
  if (proxy !== undefined && !knowsProxies(options.nodeVersion))
    log.warn(`${proxy} is set, but Node ${options.nodeVersion} does not use it: take Node 22.21, 24.5 or newer`);
  log.info(`relaying to ${config.url.origin}${config.url.pathname}: ${options.chosen}`);

  const stopped = Promise.race([cut, unreadOutput]);
  const reading = (async () => {
    for await (const line of readLines(options.stdin as AsyncIterable<Buffer>)) {
      if (line.tooLong) relay.refuseLine(lineBytesMax);
      else relay.accept(line.bytes);
      await output.ready();
    }
  })().catch((error: unknown) => log.warn(`standard input broke: ${String(error)}`));
  await Promise.race([reading.then(() => relay.drain(drainMsMax)), stopped]);
  await relay.close(endSessionMsMax);
  await Promise.race([output.flush(), sleep(flushMsMax)]);
}
