import {
  DiscardPolicy,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { AppError } from "@tollgate/errors";
import type { Subjects } from "./subjects.ts";

const NANOS_PER_MS = 1_000_000;
const DUPLICATE_WINDOW_MS = 120_000;
const ATTEMPTS_MAX = 10;
const ATTEMPT_PAUSE_MS = 200;
const GIB = 1024 ** 3;
const REPLIES_KEPT_MS = 5 * 60_000;
const REPLIES_MAX_BYTES = GIB / 4;

/** The largest message on any stream; NATS has to be started with a max_payload of at least this. */
export const MESSAGE_MAX_BYTES = 8 * 1024 * 1024;

type Wanted = Partial<StreamConfig> & { name: string; subjects: string[] };

function wantedStreams(subjects: Subjects): Wanted[] {
  const common = {
    storage: StorageType.File,
    duplicate_window: DUPLICATE_WINDOW_MS * NANOS_PER_MS,
    max_msg_size: MESSAGE_MAX_BYTES,
  };
  return [
    // Full: the gateway is told and refuses. Never drops what it has taken.
    {
      ...common,
      name: subjects.streams.calls,
      subjects: [subjects.allCalls],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_msgs: 1_000_000,
      max_bytes: 4 * GIB,
    },
    // Full: outcomes are refused, runners hold calls back, and so gateways do. Nothing is dropped before it aged out.
    {
      ...common,
      name: subjects.streams.audit,
      subjects: [subjects.allAudit],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      max_age: 7 * 86_400_000 * NANOS_PER_MS,
      max_bytes: 8 * GIB,
    },
    // Full: the oldest go. A client that lost its connection then learns that it cannot go on where it was.
    {
      ...common,
      name: subjects.streams.replies,
      subjects: [...subjects.allStreams],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_age: REPLIES_KEPT_MS * NANOS_PER_MS,
      max_bytes: REPLIES_MAX_BYTES,
    },
    {
      ...common,
      name: subjects.streams.dead,
      subjects: [subjects.allDead],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_age: 30 * 86_400_000 * NANOS_PER_MS,
      max_bytes: GIB,
    },
  ];
}

/** Creates what is missing and brings the limits up to date. Safe to be run by many services at once. */
export async function ensureStreams(jsm: JetStreamManager, subjects: Subjects): Promise<void> {
  for (const wanted of wantedStreams(subjects)) await ensureStream(jsm, wanted);
}

async function ensureStream(jsm: JetStreamManager, wanted: Wanted): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await jsm.streams.add(wanted);
      return;
    } catch (error) {
      // It is there with other settings, or another service is making it now and has its space reserved already.
      const updated = await jsm.streams.update(wanted.name, wanted).then(
        () => true,
        () => false,
      );
      if (updated) return;
      if (attempt === ATTEMPTS_MAX) {
        const reason = (error as Error).message;
        throw new AppError("unavailable", `the stream ${wanted.name} cannot be made: ${reason}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, ATTEMPT_PAUSE_MS));
    }
  }
}
