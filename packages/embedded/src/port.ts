import { createServer } from "node:net";
import { EmbeddedError, systemCode } from "./embedded-error.ts";

const pickAttemptsMax = 5;

/** Binds 127.0.0.1:port for a moment; gives the port, or rejects with the system's error. */
function bindOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      server.close(() => {
        if (address && typeof address === "object") resolve(address.port);
        else reject(new Error("the system gave no port"));
      });
    });
  });
}

/** A TCP port of 127.0.0.1 that was free a moment ago. Whoever uses it must cope with having lost it: see `withPort`. */
export function freePort(): Promise<number> {
  return bindOnce(0);
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
