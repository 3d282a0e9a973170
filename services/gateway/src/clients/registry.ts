import type { ClientReadableStream, Metadata } from "@grpc/grpc-js";
import type { registryV1 } from "@tollgate/contracts";
import { followStream, type Log } from "@tollgate/service";
import { type Catalogue, EMPTY_CATALOGUE, toCatalogue } from "../domain/catalogue.ts";
import { type OwnLimits, type Plan, planOf, toPlans } from "../domain/plans.ts";

/** The newest snapshot of the registry. While the registry is away the last one goes on. */
export interface Registry {
  readonly catalogue: Catalogue;
  /** Called when there is a new catalogue. */
  onCatalogue(listener: () => void): void;
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
  const listeners: (() => void)[] = [];

  function take(message: registryV1.WatchCatalogueResponse): void {
    catalogue = toCatalogue(message, catalogue);
    plans = toPlans(message.tenants, options.ownLimits);
    for (const listener of listeners) listener();
  }

  followStream<registryV1.WatchCatalogueResponse, ClientReadableStream<registryV1.WatchCatalogueResponse>>({
    name: "registry catalogue",
    open: () => options.client.watchCatalogue({ watcher: options.gateway, deltas: true }, options.metadata),
    onMessage(message, stream) {
      try {
        take(message);
      } catch (error) {
        // The next stream begins with all of it.
        options.log.error({ err: error }, "the catalogue is asked for anew");
        stream.cancel();
      }
    },
    signal: options.signal,
    log: options.log,
  });
  return {
    get catalogue() {
      return catalogue;
    },
    onCatalogue: (listener) => void listeners.push(listener),
    planOf: (tenant) => planOf(plans, tenant),
    problem: () => (catalogue === EMPTY_CATALOGUE ? "no catalogue from the registry yet" : undefined),
  };
}
