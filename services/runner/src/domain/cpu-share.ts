/**
 * Shares what a server's process uses of the processors among its calls: what it uses at any time belongs, in equal
 * parts, to the calls that it has then; what it uses without any is nobody's. So the calls' parts add up to what it used
 * for them all.
 */
export interface CpuShare {
  begin(this: void): CpuUse;
}

/** One call's part. */
export interface CpuUse {
  /** Milliseconds, since it began or since it was last asked. */
  takeMs(): number;
  end(): void;
}

/** @param readMs what the process has used so far; never falls */
export function createCpuShare(readMs: () => number): CpuShare {
  let calls = 0;
  let usedMs = 0;
  /** What a call would have that had been there all the time. */
  let eachMs = 0;

  function look(): number {
    const now = readMs();
    if (calls > 0) eachMs += (now - usedMs) / calls;
    usedMs = now;
    return eachMs;
  }

  return {
    begin() {
      let from = look();
      let ended = false;
      calls += 1;
      return {
        takeMs() {
          const until = ended ? from : look();
          const part = until - from;
          from = until;
          return part;
        },
        end() {
          if (ended) return;
          ended = true;
          calls -= 1;
        },
      };
    },
  };
}
