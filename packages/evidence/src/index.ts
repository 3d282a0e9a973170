export { type Chain, chainName, CHECKPOINT_EVENTS_MAX, genesisHash, leafHash, nextHash } from "./chain.ts";
