import type { registryV1 } from "@tollgate/contracts";
import type { Metrics } from "@tollgate/service";

const STATUSES = ["pending", "ready", "unavailable", "disabled"];

export interface RegistryMetrics {
  observe(catalogue: registryV1.WatchCatalogueResponse): void;
  readonly setWatchers: (count: number) => void;
  setFileValid(valid: boolean): void;
  countReport(result: "changed" | "same" | "refused"): void;
}

export function createRegistryMetrics(metrics: Metrics): RegistryMetrics {
  const revision = metrics.gauge("tollgate_registry_revision", "Revision of the catalogue held in memory");
  const servers = metrics.gauge("tollgate_registry_servers", "Servers by status", ["status"]);
  const items = metrics.gauge("tollgate_registry_items", "What all servers together offer, by kind", ["kind"]);
  const watchers = metrics.gauge("tollgate_registry_watchers", "Open watch streams");
  const valid = metrics.gauge(
    "tollgate_registry_file_valid",
    "1: the configuration file is applied as it is; 0: an older one is",
  );
  const reports = metrics.counter("tollgate_registry_reports_total", "Reports of runners by result", ["result"]);
  return {
    observe(catalogue) {
      revision.set(Number(catalogue.revision));
      for (const status of STATUSES) {
        servers.set({ status }, catalogue.servers.filter((server) => server.status === status).length);
      }
      const count = (lengthOf: (server: registryV1.Server) => number): number =>
        catalogue.servers.reduce((sum, server) => sum + lengthOf(server), 0);
      items.set(
        { kind: "tool" },
        count((server) => server.tools.length),
      );
      items.set(
        { kind: "prompt" },
        count((server) => server.prompts.length),
      );
      items.set(
        { kind: "resource" },
        count((server) => server.resources.length),
      );
      items.set(
        { kind: "resource_template" },
        count((server) => server.resourceTemplates.length),
      );
    },
    setWatchers: (count) => watchers.set(count),
    setFileValid: (ok) => valid.set(ok ? 1 : 0),
    countReport: (result) => reports.inc({ result }),
  };
}
