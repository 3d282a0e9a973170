export type { Connector, ConnectorAuth, OauthClientCredentials, Pagination, RateLimit, Retry } from "./connector.ts";
export type { AuthEntry, ConnectorEntry, PaginationEntry } from "./entry.ts";
export { baseUrlOf, operationsOf, type OperationsOptions } from "./openapi.ts";
export { DOCUMENT_MAX_BYTES, type OpenApi, readOpenApi } from "./openapi-document.ts";
export { type Security, securityOf } from "./openapi-security.ts";
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
export { readExactly } from "./exact-json.ts";
export { joinPages, type NextPage, type PagePlan, planPages, withQuery } from "./pages.ts";
export { valueAt } from "./pointer.ts";
export { type ApiRequest, buildRequest, isRepeatable } from "./request.ts";
export { answerResult, type ApiAnswer, errorResult, joinedResult } from "./result.ts";
export { toolsOf } from "./tool.ts";
