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
