import { findParamHeaders, type ParamHeader, paramValue, parseJson } from "@tollgate/mcp";
import type { Log } from "@tollgate/service";
import { isRemote, type ServerSpec } from "../domain/server-spec.ts";
import type { Offer } from "../upstream/discovery.ts";
import type { Slot } from "./slots.ts";

/** A server that says often that its tools have changed is asked for them no more often than this. */
const RELIST_DELAY_MS = 200;

/** What a server offers, as a pool has learned it last. */
export interface KnownOffer {
  /** Asks a connection. @throws {AppError} `unavailable` */
  learn(this: void, slot: Slot): Promise<void>;
  /** It has said that something has changed. */
  relearn(slot: Slot): void;
  /** The headers that a modern remote server wants to see some of a tool's arguments in. */
  paramHeaders(this: void, tool: string, args: unknown): Readonly<Record<string, string>> | undefined;
  stop(): void;
}

export function createKnownOffer(options: { spec: ServerSpec; onOffer: (offer: Offer) => void; log: Log }): KnownOffer {
  const { spec, onOffer, log } = options;
  let toolHeaders: ReadonlyMap<string, readonly ParamHeader[]> = new Map();
  let relisting: NodeJS.Timeout | undefined;

  async function learn(slot: Slot): Promise<void> {
    const connection = await slot.opening;
    const offer = await connection.listOffer();
    if (isRemote(spec)) toolHeaders = headersOf(offer.tools);
    onOffer(offer);
  }

  return {
    learn,
    relearn(slot) {
      relisting ??= setTimeout(() => {
        relisting = undefined;
        learn(slot).catch((error: Error) => log.warn({ reason: error.message }, "what has changed is not known"));
      }, RELIST_DELAY_MS);
    },
    paramHeaders(tool, args) {
      const headers = toolHeaders.get(tool);
      if (headers === undefined) return undefined;
      const entries = headers.map(({ header, path }) => [header, paramValue(args, path)]);
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Record<string, string>;
    },
    stop: () => clearTimeout(relisting),
  };
}

const nameOf = (tool: string) => String((parseJson(tool) as { name?: unknown } | null)?.name);

function headersOf(tools: readonly string[]): ReadonlyMap<string, readonly ParamHeader[]> {
  const marked = tools.map((tool) => [nameOf(tool), findParamHeaders(tool)] as const);
  return new Map(marked.filter(([, headers]) => headers.length > 0));
}
