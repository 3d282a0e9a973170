import type { Metadata } from "@grpc/grpc-js";
import type { Bus, SessionStore } from "@tollgate/bus";
import type {
  auditV1,
  entriesV1,
  meteringV1,
  policyV1,
  registryV1,
  secretsV1,
  stateV1,
  toolsV1,
} from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import type { Log } from "@tollgate/service";
import type { FastifyRequest } from "fastify";
import type { Policy } from "../clients/policy.ts";
import type { Registry } from "../clients/registry.ts";
import type { Server } from "../domain/catalogue.ts";
import type { AccessEvents } from "./access-events.ts";
import type { RecordSecret } from "./api-recordings.ts";
import type { Approvals } from "./approvals.ts";
import type { Callers } from "./callers.ts";
import type { RecordChange } from "./change-events.ts";
import type { Session } from "./legacy-sessions.ts";
import type { Lists } from "./lists.ts";
import type { Refuse } from "./refusals.ts";

/** How long the API waits for another service. */
export const TIMEOUT_MS = 10_000;

export interface ApiOptions {
  readonly bus: Bus;
  readonly callers: Callers;
  readonly refuse: Refuse;
  readonly sessions: SessionStore<Session>;
  readonly policy: Policy;
  readonly registry: Registry;
  readonly lists: Lists;
  readonly approvals: Approvals;
  /** Who reads the record is recorded. */
  readonly access: AccessEvents;
  readonly recordChange: RecordChange;
  readonly recordSecret: RecordSecret;
  readonly clients: {
    readonly policy: policyV1.PolicyServiceClient;
    readonly registry: registryV1.RegistryServiceClient;
    readonly entries: entriesV1.EntryServiceClient;
    readonly states: Readonly<Record<"registry" | "policy" | "metering", stateV1.StateServiceClient>>;
    readonly tools: toolsV1.ToolServiceClient;
    readonly secrets: secretsV1.SecretServiceClient;
    readonly audit: auditV1.AuditServiceClient;
    readonly metering: meteringV1.MeteringServiceClient;
  };
  readonly metadata: Metadata;
  readonly serviceKey: string;
  /** Of browser pages that may open a WebSocket. */
  readonly allowedOrigins: readonly string[];
  /** Aborts when the gateway stops: what lasts ends. */
  readonly stopping: AbortSignal;
  readonly log: Log;
}

/** Who asks, for the record. */
export function actorOf(request: FastifyRequest): string {
  return request.caller!.principal.id;
}

/** @throws {AppError} not_found */
export function serverOf(registry: Registry, id: string): Server {
  const server = registry.catalogue.servers.get(id);
  if (server) return server;
  throw new AppError("not_found", `there is no server "${id}"`);
}

/** Asking NATS while it is away would end in a timeout that says nothing. @throws {AppError} unavailable */
export function checkBus(bus: Bus): void {
  const problem = bus.problem();
  if (problem !== undefined) throw new AppError("unavailable", problem);
}
