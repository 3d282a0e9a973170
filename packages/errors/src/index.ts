export { AppError, type AppErrorOptions, type ErrorCode, ERROR_CODES, toAppError } from "./app-error.ts";
export { fromGrpc, grpcStatus, httpStatus, type Problem, rpcCode, toProblem, toRpcError } from "./mapping.ts";
