import type { Delivery } from "./delivery.ts";
import { post } from "./exchange.ts";
import { type GatewayOptions, openGateway } from "./gateway.ts";
import type { Link } from "./link.ts";
import type { Log } from "./log.ts";
import { keepListening } from "./standing-stream.ts";

export interface LinkOptions extends GatewayOptions {
  readonly retryBase: number;
  readonly log: Log;
  /** Where goes what belongs to no request. */
  readonly unasked: Delivery;
}

/** Streamable HTTP: each frame is a POST of its own. */
export async function openHttpLink(options: LinkOptions): Promise<Link> {
  const gateway = await openGateway(options);
  const { retryBase, silenceMsMax, log, unasked } = options;
  return {
    url: gateway.url,
    cancelsByClosing: true,
    exchange: (exchange) => post({ ...exchange, gateway, retryBase, silenceMsMax }),
    listen: (listening) => keepListening({ ...listening, gateway, delivery: unasked, retryBase, log }),
    endSession: async (headers, msMax) => {
      if (headers["mcp-session-id"] !== undefined) await gateway.endSession(headers, msMax);
    },
    close: gateway.close,
  };
}
