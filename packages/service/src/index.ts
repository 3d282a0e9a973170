export { arrayLiteral } from "./array-literal.ts";
export { type Config, configFrom, envSchema } from "./config.ts";
export { type GrpcAddress, type GrpcServer, openGrpcClient, startGrpcServer, unary } from "./grpc-server.ts";
export { readStream, serverStream } from "./grpc-streams.ts";
export { callUnary, followStream, serviceMetadata } from "./grpc-client.ts";
export { type Life, openLife, within } from "./life.ts";
export { lead, type Leadership } from "./lead.ts";
export { createLog, type Log } from "./log.ts";
export { runMain, type Service } from "./main.ts";
export { createMetrics, type Metrics } from "./metrics.ts";
export { migrate } from "./migrate.ts";
export { createOps, type Ops, registerOps, startOpsServer } from "./ops.ts";
export { enqueueEvents, keepOutbox } from "./outbox.ts";
export { dropOldPartitions } from "./old-partitions.ts";
export { answerAsPart } from "./part.ts";
export { openPartitions, type Partitions } from "./partitions.ts";
export {
  bootstrapDatabase,
  type DatabaseRole,
  openPool,
  type Pool,
  refusedValue,
  withTransaction,
} from "./postgres.ts";
export { recordEvents, type Recorder, watchRecorder } from "./record-events.ts";
