import { jetstream, jetstreamManager, type JetStreamClient, type JetStreamManager } from "@nats-io/jetstream";
import { connect, errors, type NatsConnection } from "@nats-io/transport-node";
import { AppError } from "@tollgate/errors";
import { type Acknowledgements, openAcknowledgements } from "./acknowledgements.ts";
import { ensureStreams } from "./streams.ts";
import { type Subjects, subjectsFor } from "./subjects.ts";

/** The part of a service's log that the bus writes to. */
export interface BusLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface Bus {
  readonly connection: NatsConnection;
  readonly js: JetStreamClient;
  readonly jsm: JetStreamManager;
  readonly acknowledgements: Acknowledgements;
  readonly subjects: Subjects;
  readonly log: BusLog;
  /** Unix milliseconds of the last time a lost connection was made again; 0 while the first one holds. */
  reconnectedAt(): number;
  /** Why the bus cannot be used now, or undefined. */
  problem(): string | undefined;
  /** Sends what is waiting, ends subscriptions, closes. */
  drain(): Promise<void>;
}

const START_WAIT_MS = 30_000;
const RECONNECT_WAIT_MS = 250;
const PING_INTERVAL_MS = 5_000;

/**
 * Connects, waiting up to 30 s for a server that is still starting, and sees to it that the streams are there.
 * @throws {AppError} `unauthenticated` at once for a wrong password; `unavailable` after those 30 s
 */
export async function connectBus(options: {
  /** nats://user:password@host:port, several separated by commas. */
  url: string;
  name: string;
  prefix: string;
  log: BusLog;
  signal: AbortSignal;
}): Promise<Bus> {
  const { name, log } = options;
  const subjects = subjectsFor(options.prefix);
  const connection = await connectPatiently(options);
  try {
    return await openBus({ connection, subjects, name, log });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function openBus(options: {
  connection: NatsConnection;
  subjects: Subjects;
  name: string;
  log: BusLog;
}): Promise<Bus> {
  const { connection, subjects, name, log } = options;
  const js = jetstream(connection);
  const jsm = await jetstreamManager(connection);
  let reconnectedAt = 0;
  let problem: string | undefined;

  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") problem = "disconnected from NATS";
      if (status.type === "reconnect") {
        problem = undefined;
        reconnectedAt = Date.now();
      }
      if (status.type === "disconnect" || status.type === "reconnect")
        log.warn({ nats: status.type }, "NATS connection");
      if (status.type === "error") log.error({ err: status.error }, "NATS error");
    }
  })();

  await ensureStreams(jsm, subjects);
  log.info({ name, server: connection.getServer() }, "connected to NATS");
  return {
    connection,
    js,
    jsm,
    acknowledgements: openAcknowledgements(connection),
    subjects,
    log,
    reconnectedAt: () => reconnectedAt,
    problem: () => (connection.isClosed() ? "the NATS connection is closed" : problem),
    // Without a server there is nobody to wait for, and draining would wait.
    drain: () => (problem === undefined ? connection.drain() : connection.close()),
  };
}

async function connectPatiently(options: {
  url: string;
  name: string;
  log: BusLog;
  signal: AbortSignal;
}): Promise<NatsConnection> {
  const urls = parseUrls(options.url);
  const first = urls[0]!;
  const until = Date.now() + START_WAIT_MS;
  for (;;) {
    try {
      return await connect({
        servers: urls.map((url) => url.host),
        user: decodeURIComponent(first.username),
        pass: decodeURIComponent(first.password),
        name: `tollgate-${options.name}`,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_WAIT_MS,
        pingInterval: PING_INTERVAL_MS,
        ignoreAuthErrorAbort: true,
        // A stack trace for each request would be the dearest part of a call.
        noAsyncTraces: true,
      });
    } catch (error) {
      const hosts = urls.map((url) => url.host).join(", ");
      // No waiting makes a wrong password right.
      if (error instanceof errors.AuthorizationError)
        throw new AppError("unauthenticated", `NATS at ${hosts} does not take this user and password`, {
          cause: error,
        });
      if (Date.now() > until || options.signal.aborted) {
        throw new AppError("unavailable", `NATS at ${hosts} cannot be reached: ${(error as Error).message}`, {
          cause: error,
        });
      }
      options.log.info({ reason: (error as Error).message }, "waiting for NATS");
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Says nothing of the text: it holds a password. */
function parseUrls(text: string): URL[] {
  const urls = URL.canParse(text) ? [text] : text.split(",");
  if (!urls.every((each) => URL.canParse(each))) throw new AppError("invalid_argument", "the NATS URL is not a URL");
  return urls.map((each) => new URL(each));
}
