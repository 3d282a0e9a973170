export { baseUrlOf, operationsOf, type OperationsOptions } from "./openapi.ts";
export { DOCUMENT_MAX_BYTES, type OpenApi, readOpenApi } from "./openapi-document.ts";
export { type Security, type SecurityEntry, securityOf } from "./openapi-security.ts";
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
