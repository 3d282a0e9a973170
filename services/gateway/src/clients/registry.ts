import type { Metadata } from "@grpc/grpc-js";
import type { registryV1 } from "@tollgate/contracts";
import { followStream, type Log } from "@tollgate/service";
import { type Catalogue, EMPTY_CATALOGUE, toCatalogue } from "../domain/catalogue.ts";

/** The newest snapshot of the registry. While the registry is away the last one goes on. */
export interface Registry {
  readonly catalogue: Catalogue;
  problem(): string | undefined;
}

export function openRegistry(options: {
  client: registryV1.RegistryServiceClient;
  metadata: Metadata;
  gateway: string;
  signal: AbortSignal;
  log: Log;
}): Registry {
  let catalogue = EMPTY_CATALOGUE;
  followStream({
    name: "registry catalogue",
    open: () => options.client.watchCatalogue({ watcher: options.gateway }, options.metadata),
    onMessage: (message: registryV1.WatchCatalogueResponse) => {
      catalogue = toCatalogue(message);
    },
    signal: options.signal,
    log: options.log,
  });
  return {
    get catalogue() {
      return catalogue;
    },
    problem: () => (catalogue === EMPTY_CATALOGUE ? "no catalogue from the registry yet" : undefined),
  };
}
