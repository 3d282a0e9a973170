import { AppError } from "@tollgate/errors";
import { createFairQueue, type Share } from "@tollgate/fair-queue";
import type { Audience } from "./audiences.ts";
import type { Slot } from "./slots.ts";

const RETRY_AFTER_SECONDS = 1;

/** Calls that wait for a connection of one server. Tenants take turns, and within one those that are served alike. */
export interface Waiting {
  readonly size: number;
  /** How many of a tenant wait for a connection of this audience. */
  sizeOf(audience: Audience, share: Share): number;
  /** @throws {AppError} `overloaded` when no more may wait, or it has waited too long; the reason of `signal` */
  enter(audience: Audience, share: Share, signal: AbortSignal | undefined): Promise<Slot>;
  /** Serves whom it can, by turns. `find` may throw what the one that waits is to be told. */
  serve(find: (audience: Audience) => Slot | undefined): void;
}

interface Waiter {
  readonly audience: Audience;
  readonly take: (slot: Slot) => void;
  readonly refuse: (error: unknown) => void;
}

/** The audience of a shared pool is everybody's: it does not say whose call it is. */
const turnOf = ({ id }: Audience, { key }: Share): string => `${key}\n${id}`;

export function createWaiting(options: {
  name: string;
  max: number;
  waitMs: number;
  /** Why an audience has to wait. */
  reasonOf: (audience: Audience) => string;
}): Waiting {
  const { name, max, waitMs, reasonOf } = options;
  const queue = createFairQueue<Waiter>();
  /** The rest is left to others. */
  const tenantMax = max - Math.floor(max / 4);
  const ofTenants = new Map<string, number>();

  function count(tenant: string, change: 1 | -1): void {
    const size = (ofTenants.get(tenant) ?? 0) + change;
    if (size === 0) ofTenants.delete(tenant);
    else ofTenants.set(tenant, size);
  }

  function refuseIfFull(audience: Audience, { key }: Share): void {
    if (queue.size < max && (ofTenants.get(key) ?? 0) < tenantMax) return;
    const waiting = queue.size < max ? `${tenantMax} calls of the tenant` : `${max} calls`;
    throw overloaded(`${reasonOf(audience)}${max === 0 ? "" : `, and ${waiting} wait already`}`);
  }

  function overloaded(reason: string): AppError {
    return new AppError("overloaded", `${name}: ${reason}; try again in ${RETRY_AFTER_SECONDS} s`, {
      details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
    });
  }

  return {
    get size() {
      return queue.size;
    },
    sizeOf: (audience, share) => queue.sizeOf(turnOf(audience, share)),
    async enter(audience, share, signal) {
      signal?.throwIfAborted();
      refuseIfFull(audience, share);
      return new Promise<Slot>((resolve, reject) => {
        const timer = setTimeout(() => {
          leave();
          refuse(overloaded(`waited ${waitMs / 1_000} s, and ${reasonOf(audience)}`));
        }, waitMs);
        const onAbort = () => {
          leave();
          refuse(signal!.reason);
        };
        const settle = () => {
          count(share.key, -1);
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
        };
        const take = (slot: Slot) => (settle(), resolve(slot));
        const refuse = (error: unknown) => (settle(), reject(error));
        const leave = queue.push({ audience, take, refuse }, { key: turnOf(audience, share), weight: share.weight });
        count(share.key, 1);
        signal?.addEventListener("abort", onAbort, { once: true });
      });
    },
    serve(find) {
      for (;;) {
        let answer: (() => void) | undefined;
        const next = queue.shift(({ audience, take, refuse }) => {
          try {
            const slot = find(audience);
            if (slot !== undefined) answer = () => take(slot);
          } catch (error) {
            answer = () => refuse(error);
          }
          return answer !== undefined;
        });
        if (next === undefined) return;
        answer!();
      }
    },
  };
}
