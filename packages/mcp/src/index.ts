export {
  type Frame,
  type NotificationFrame,
  parseFrame,
  type RequestFrame,
  type RequestId,
  type ResponseFrame,
} from "./frame.ts";
export { prefixedName, splitName } from "./names.ts";
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
  SERVER_INFO_KEY,
  SUPPORTED_REVISIONS,
} from "./protocol.ts";
export { type Edit, findMembers, insertMembers, type Members, type Span, splice } from "./spans.ts";
export { rewriteProgress, rewriteRequest, rewriteResponse, setToolName, toolTexts } from "./rewrite.ts";
