import type { Metrics } from "@tollgate/service";
import type { Pool, PoolHealth } from "./pool.ts";

/** What each server's pool says of itself when `/metrics` is read. A server that is gone has no line any more. */
export function observePools(metrics: Metrics, pools: () => Iterable<Pool>): void {
  const healths = () => Array.from(pools(), (pool) => pool.health());
  const gauge = (name: string, help: string, valueOf: (health: PoolHealth) => number) =>
    metrics.gauge(`tollgate_runner_${name}`, help, ["server"], (each) => {
      each.reset();
      for (const health of healths()) each.set({ server: health.server }, valueOf(health));
    });
  const counter = (name: string, help: string, valueOf: (health: PoolHealth) => number) =>
    metrics.counter(`tollgate_runner_${name}`, help, ["server"], (each) => {
      each.reset();
      for (const health of healths()) each.inc({ server: health.server }, valueOf(health));
    });
  gauge("pool_processes", "Processes of a server, or connections to it.", ({ pool }) => pool.processes);
  gauge("pool_busy", "Those of them that have calls.", ({ pool }) => pool.busy);
  gauge("pool_waiting", "Calls that wait for one.", ({ pool }) => pool.callsWaiting);
  gauge("breaker_open", "Whether the server's circuit breaker is open, for any tenant.", ({ breaker }) =>
    Number(breaker !== "closed"),
  );
  counter("process_starts_total", "Processes started.", ({ starts }) => starts);
  counter("process_restarts_total", "Processes that ended by themselves or at a limit.", ({ restarts }) => restarts);
}
