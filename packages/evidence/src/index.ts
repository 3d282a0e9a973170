export { type Chain, chainName, CHECKPOINT_EVENTS_MAX, genesisHash, leafHash, nextHash } from "./chain.ts";
export {
  keyedHash,
  openRecording,
  parseRecordingKeys,
  RECORDED_BYTES_MAX,
  type RecordingKeys,
  sealRecording,
} from "./recordings.ts";
