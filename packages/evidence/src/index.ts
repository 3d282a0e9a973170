export { type Chain, chainName, CHECKPOINT_EVENTS_MAX, genesisHash, leafHash, nextHash } from "./chain.ts";
export { type ChainVerifier, createChainVerifier, type Finding } from "./chain-verifier.ts";
export {
  type Checkpoint,
  CHECKPOINT_FORM,
  checkpointHash,
  type Cut,
  CUT_FORM,
  parseCheckpoint,
  parseCut,
  signCheckpoint,
  signCut,
} from "./checkpoint.ts";
export { type ChainRange, type EvidenceLine, formatEvidenceLine, parseKeyRecord, signHeader } from "./evidence-file.ts";
export { type EvidenceReport, verifyEvidence } from "./evidence-verifier.ts";
export { parseKeyList } from "./key-list.ts";
export { type KeyLine, openKeyLine } from "./key-line.ts";
export { createSigningKey, type KeyRecord, openSigningKey, sealSigningKey, type SigningKey } from "./keys.ts";
export { HASH_BYTES, merkleRoot } from "./merkle.ts";
export { checkInclusion, type InclusionProof, proveInclusion } from "./proof.ts";
export {
  keyedHash,
  openRecording,
  parseRecordingKeys,
  RECORDED_BYTES_MAX,
  type RecordingKeys,
  sealRecording,
} from "./recordings.ts";
export { openWith, type RandomBytes, sealWith } from "./sealing.ts";
export { type Signed, signStatement, type StatementForm } from "./statements.ts";
