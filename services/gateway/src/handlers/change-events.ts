import type { EventPublisher } from "@tollgate/bus";
import { type Change, changeEvent } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { within } from "@tollgate/service";
import type { FastifyRequest } from "fastify";

const PUBLISH_TIMEOUT_MS = 5_000;

/**
 * Puts on the record what the caller is about to change here, where no service does so with the change itself.
 * @throws {AppError} unavailable: it could not be written down, so it may not be done
 */
export type RecordChange = (
  request: FastifyRequest,
  change: Omit<Change, "principal" | "address" | "tenant">,
) => Promise<void>;

export function createChangeEvents(events: EventPublisher): RecordChange {
  return async (request, change) => {
    const { principal, address } = request.caller!;
    const by = { principal: principal.id, ...(address === "" ? {} : { address }) };
    const event = changeEvent({ ...change, ...by, tenant: "" }, Date.now());
    try {
      await within(PUBLISH_TIMEOUT_MS, events.publish(event), "not acknowledged");
    } catch (error) {
      throw new AppError("unavailable", "the change cannot be put on the record, so it is not made; try again", {
        cause: error,
      });
    }
  };
}
