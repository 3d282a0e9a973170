import type { Metadata } from "@grpc/grpc-js";
import type { registryV1 } from "@tollgate/contracts";
import { followStream, type Log } from "@tollgate/service";
import { type Catalogue, EMPTY_CATALOGUE, toCatalogue } from "../domain/catalogue.ts";
import { type OwnLimits, type Plan, planOf, toPlans } from "../domain/plans.ts";

/** The newest snapshot of the registry. While the registry is away the last one goes on. */
export interface Registry {
  readonly catalogue: Catalogue;
  planOf(tenant: string): Plan;
  problem(): string | undefined;
}

export function openRegistry(options: {
  client: registryV1.RegistryServiceClient;
  metadata: Metadata;
  gateway: string;
  ownLimits: OwnLimits;
  signal: AbortSignal;
  log: Log;
}): Registry {
  let catalogue = EMPTY_CATALOGUE;
  let plans = toPlans([], options.ownLimits);
  followStream({
    name: "registry catalogue",
    open: () => options.client.watchCatalogue({ watcher: options.gateway, deltas: false }, options.metadata),
    onMessage: (message: registryV1.WatchCatalogueResponse) => {
      catalogue = toCatalogue(message);
      plans = toPlans(message.tenants, options.ownLimits);
    },
    signal: options.signal,
    log: options.log,
  });
  return {
    get catalogue() {
      return catalogue;
    },
    planOf: (tenant) => planOf(plans, tenant),
    problem: () => (catalogue === EMPTY_CATALOGUE ? "no catalogue from the registry yet" : undefined),
  };
}
