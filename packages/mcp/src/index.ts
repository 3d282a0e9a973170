export {
  batchOf,
  type Frame,
  type NotificationFrame,
  parseFrame,
  type RequestFrame,
  type RequestId,
  type ResponseFrame,
} from "./frame.ts";
export {
  decodeHeader,
  encodeHeader,
  findParamHeaders,
  type ParamHeader,
  paramHeaderProblem,
  paramValue,
} from "./headers.ts";
export { parseJson } from "./json.ts";
export { prefixedName, prefixedUri, splitName, splitUri } from "./names.ts";
export {
  CLIENT_CAPABILITIES_KEY,
  CLIENT_INFO_KEY,
  type Era,
  eraOf,
  LATEST_LEGACY_REVISION,
  LEGACY_REVISIONS,
  META_KEY_PREFIX,
  MODERN_REVISION,
  PROTOCOL_VERSION_KEY,
  RPC,
  LOG_LEVEL_KEY,
  SERVER_INFO_KEY,
  SUBSCRIPTION_ID_KEY,
  SUPPORTED_REVISIONS,
} from "./protocol.ts";
export { createSealers, type SealedState, type SealedTask, type Sealers } from "./seal.ts";
export {
  changeStrings,
  type Edit,
  findMembers,
  insertMembers,
  type Members,
  type Path,
  type Span,
  splice,
} from "./spans.ts";
export {
  progressTokenOf,
  removeParams,
  resultItems,
  resultMember,
  rewriteProgress,
  rewriteRequest,
  rewriteResponse,
  setId,
  setParam,
} from "./rewrite.ts";
