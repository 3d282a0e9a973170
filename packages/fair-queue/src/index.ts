export { createFairGate, type FairGate, type KeyLimits } from "./fair-gate.ts";
export { createFairQueue, type FairQueue, type Share, shareOf } from "./fair-queue.ts";
