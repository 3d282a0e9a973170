import { fastify, type FastifyInstance } from "fastify";
import type { Life } from "./life.ts";
import type { Metrics } from "./metrics.ts";

/** What a service says of itself to those who run it. */
export interface Ops {
  readonly metrics: Metrics;
  /** A check returns why the service is not ready, or undefined when it is. */
  readonly checks: Map<string, () => string | undefined>;
}

export function createOps(metrics: Metrics, life: Life): Ops {
  const checks = new Map<string, () => string | undefined>();
  checks.set("running", () => (life.signal.aborted ? "stopping" : undefined));
  return { metrics, checks };
}

/** `/healthz` (the process answers), `/readyz` (it can do its work; 503 with the reasons otherwise), `/metrics`. */
export function registerOps(app: FastifyInstance, ops: Ops): void {
  app.get("/healthz", () => ({ status: "ok" }));
  app.get("/readyz", (_request, reply) => {
    const reasons = readinessOf(ops);
    const ready = Object.keys(reasons).length === 0;
    return reply.code(ready ? 200 : 503).send(ready ? { status: "ready" } : { status: "not ready", reasons });
  });
  app.get("/metrics", async (_request, reply) =>
    reply.type(ops.metrics.registry.contentType).send(await ops.metrics.registry.metrics()),
  );
}

/** Why it is not ready, by check; empty where it is. */
export function readinessOf({ checks }: Pick<Ops, "checks">): Record<string, string> {
  const reasons: Record<string, string> = {};
  for (const [name, check] of checks) {
    const reason = reasonOf(check);
    if (reason !== undefined) reasons[name] = reason;
  }
  return reasons;
}

/** A check that fails is itself a reason. */
function reasonOf(check: () => string | undefined): string | undefined {
  try {
    return check();
  } catch (error) {
    return (error as Error).message;
  }
}

/** The HTTP side of a service that has no other. Returns the port. */
export async function startOpsServer(options: { host: string; port: number; ops: Ops; life: Life }): Promise<number> {
  const app = fastify({ logger: false, forceCloseConnections: true });
  registerOps(app, options.ops);
  await app.listen({ host: options.host, port: options.port });
  options.life.onClose("http", 2_000, () => app.close());
  return (app.server.address() as { port: number }).port;
}
