import type { policyV1 } from "@tollgate/contracts";
import type { RunningPolicy } from "./running-policy.ts";

/**
 * A gateway's side of the lease: counts it from when it asked, and drops what it holds before it answers. What it is
 * told not to do shows what policy does about gateways that hang or vanish.
 */
export function watchAs(
  policy: Pick<RunningPolicy, "client" | "metadata">,
  name: string,
  options: { answers?: boolean } = {},
) {
  const stream = policy.client.watch(policy.metadata);
  const messages: policyV1.WatchResponse[] = [];
  const asked = new Map<bigint, number>();
  let answers = options.answers ?? true;
  let sequence = 0n;
  const leases: { revision: bigint; endsAt: number }[] = [];
  let problem: string | undefined;

  function ask(takenRevision: bigint, used: policyV1.Used[] = []): void {
    sequence += 1n;
    asked.set(sequence, performance.now());
    stream.write({ gateway: name, takenRevision, sequence, used });
  }

  stream.on("data", (message: policyV1.WatchResponse) => {
    messages.push(message);
    const at = asked.get(message.echo);
    if (at !== undefined) leases.push({ revision: message.revision, endsAt: at + message.leaseMs });
    if (answers) ask(message.revision);
  });
  stream.on("error", (error) => (problem = error.message));
  ask(0n);

  return {
    messages,
    revision: () => messages.at(-1)?.revision,
    problem: () => problem,
    /** How long the gateway may still use decisions of revisions older than this one, in milliseconds. */
    leaseLeftMs: (revision: bigint) =>
      Math.max(0, ...leases.filter((each) => each.revision < revision).map(({ endsAt }) => endsAt)) - performance.now(),
    /** From now on messages are read and not answered. */
    stopAnswering: () => void (answers = false),
    answer: (revision: bigint) => ask(revision),
    /** Says what credentials were used. */
    use: (used: policyV1.Used[]) => ask(messages.at(-1)?.revision ?? 0n, used),
    /** From now on nothing is read. */
    pause: () => stream.pause(),
    leave: () => stream.cancel(),
  };
}
