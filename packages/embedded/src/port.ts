import { createServer } from "node:net";
import { EmbeddedError, systemCode } from "./embedded-error.ts";

const pickAttemptsMax = 5;
/**
 * Below the range from which systems take the ports of outgoing connections: nothing but another server takes a port
 * before it is used, or while a service is restarted.
 */
const firstPort = 20_000;
const portCount = 10_000;
const freeAttemptsMax = 200;
/** Where the next free port is looked for. Counted on: none is given twice while whoever got it has not bound it yet. */
let nextPort = Math.floor(Math.random() * portCount);

/** Binds 127.0.0.1:port for a moment, or rejects with the system's error. */
function bindOnce(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve()));
  });
}

/** A TCP port of 127.0.0.1 that was free a moment ago. Whoever uses it must cope with having lost it: see `withPort`. */
export async function freePort(): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const port = firstPort + (nextPort++ % portCount);
    try {
      await bindOnce(port);
      return port;
    } catch (error) {
      if (systemCode(error) !== "EADDRINUSE" || attempt >= freeAttemptsMax) throw error;
    }
  }
}

/** A server's start found its port in use. */
export class PortTakenError extends EmbeddedError {
  constructor(name: string, port: number, cause?: unknown) {
    super(
      "failed_precondition",
      `${name} cannot listen on 127.0.0.1:${port}: the port is taken; stop what uses it or choose another port`,
      { cause, details: { port } },
    );
  }
}

/** Runs `start` on the port asked for, or, for 0, on picked ones until one is still free when the server binds it. */
export async function withPort<T>(
  options: { readonly name: string; readonly port: number },
  start: (port: number) => Promise<T>,
): Promise<T> {
  if (options.port !== 0) {
    await bindOnce(options.port).catch((cause: unknown) => {
      if (systemCode(cause) === "EADDRINUSE") throw new PortTakenError(options.name, options.port, cause);
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EmbeddedError(
        "failed_precondition",
        `${options.name} cannot listen on port ${options.port}: ${reason}`,
        {
          cause,
        },
      );
    });
    return start(options.port);
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(await freePort());
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt >= pickAttemptsMax) throw error;
    }
  }
}
