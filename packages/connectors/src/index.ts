export type { Connector, ConnectorAuth, OauthClientCredentials, Pagination, RateLimit, Retry } from "./connector.ts";
export type { AuthEntry, ConnectorEntry, PaginationEntry } from "./entry.ts";
export {
  type ConnectorOperation,
  type Method,
  METHODS,
  type OperationBody,
  type OperationParameter,
  type PaginationGuess,
  PARAMETER_STYLES,
  type ParameterStyle,
} from "./operation.ts";
