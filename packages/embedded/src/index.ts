export { findBubblewrap } from "./bubblewrap-binary.ts";
export { EmbeddedError, type EmbeddedErrorCode } from "./embedded-error.ts";
export { endLeftover } from "./leftover.ts";
export { type NatsOptions, startNats } from "./nats.ts";
export { findNatsServer } from "./nats-binary.ts";
export { freePort } from "./port.ts";
export { type PostgresOptions, startPostgres } from "./postgres.ts";
export { endProcessGroup, type Running } from "./process.ts";
