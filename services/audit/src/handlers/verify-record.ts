import type { auditV1 } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";
import { type Chain, chainName, type Finding, type KeyLine } from "@tollgate/evidence";
import { type Log, type Pool, serverStream } from "@tollgate/service";
import { parseRegister, REGISTER_FORM, type RegisterEntry } from "../domain/register.ts";
import { readAllChains, readCuts, readRegister } from "../store/checkpoints.ts";
import type { Signing } from "./signing.ts";
import { verifyChain } from "./verify-chain.ts";

const VERIFICATIONS_MAX = 2;
const RETRY_AFTER_SECONDS = 30;
/** Of one verification: behind so many nobody reads on. They are counted all the same. */
const FINDINGS_MAX = 10_000;

type Answer = auditV1.VerifyRecordResponse;

export function createVerificationHandlers(options: {
  readPool: Pool;
  signing: Signing;
  log: Log;
}): Pick<auditV1.AuditServiceServer, "verifyRecord"> {
  const { readPool, signing, log } = options;
  let running = 0;
  async function* verifyRecord(request: auditV1.VerifyRecordRequest, signal: AbortSignal): AsyncGenerator<Answer> {
    if (running >= VERIFICATIONS_MAX)
      throw new AppError("overloaded", "as many verifications as may run at a time are running", {
        details: { retryAfterSeconds: RETRY_AFTER_SECONDS },
      });
    running += 1;
    try {
      yield* verify(readPool, signing, request, signal);
    } finally {
      running -= 1;
    }
  }
  return { verifyRecord: serverStream(log, verifyRecord) };
}

/** Proves the tables: each chain from its beginning, or from where it was cut, to its end. */
async function* verify(
  pool: Pool,
  signing: Signing,
  { tenant, kind }: auditV1.VerifyRecordRequest,
  signal: AbortSignal,
): AsyncGenerator<Answer, void, undefined> {
  let found: Finding[] = [];
  let findings = 0;
  const report = (finding: Finding): void => {
    if (findings++ < FINDINGS_MAX) found.push(finding);
  };
  let [events, chains] = [0, 0];
  const answer = (done: boolean): Answer => {
    // A row can be given any number.
    const given = found.map(({ number, ...finding }) => ({ ...finding, number: BigInt(Math.max(0, number)) }));
    found = [];
    return { eventsVerified: BigInt(events), chainsVerified: chains, findings: given, done };
  };

  const keys = await signing.trusted(pool);
  for (const problem of keys.problems) report(ofRecord("signature", problem));
  const register = await openRegister(pool, keys, report);
  const cuts = new Map((await readCuts(pool)).map((cut) => [chainName(cut), cut]));
  const isAsked = (chain: Chain): boolean =>
    (tenant === "" || chain.tenant === tenant) && (kind === "" || chain.kind === kind);
  for (const chain of await allChains(pool, register, cuts)) {
    if (!isAsked(chain)) continue;
    const name = chainName(chain);
    for await (const count of verifyChain({
      pool,
      chain,
      keys,
      report,
      entry: register.get(name),
      cut: cuts.get(name),
    })) {
      if (signal.aborted) return;
      events += count;
      yield answer(false);
    }
    chains++;
  }
  yield answer(true);
}

async function openRegister(
  pool: Pool,
  keys: KeyLine,
  report: (finding: Finding) => void,
): Promise<Map<string, RegisterEntry>> {
  const text = await readRegister(pool);
  if (text === undefined) {
    // Before the first checkpoint there is none.
    const { rows } = await pool.query("SELECT 1 FROM audit.checkpoints LIMIT 1");
    if (rows.length > 0) report(ofRecord("removed", "the register of all chains is missing"));
    return new Map();
  }
  const parsed = parseRegister(text);
  const problem = parsed === undefined ? "not readable" : keys.problemOf(REGISTER_FORM, parsed.register);
  if (problem !== undefined) report(ofRecord("signature", `the register of all chains is ${problem}`));
  return parsed?.entries ?? new Map();
}

/** Those that are anywhere: a chain that is missing in one place has to be missed. */
async function allChains(
  pool: Pool,
  register: ReadonlyMap<string, Chain>,
  cuts: ReadonlyMap<string, Chain>,
): Promise<Chain[]> {
  const all = [...(await readAllChains(pool)), ...register.values(), ...cuts.values()];
  return [...new Map(all.map(({ tenant, kind }) => [chainName({ tenant, kind }), { tenant, kind }])).values()];
}

function ofRecord(what: Finding["what"], detail: string): Finding {
  return { tenant: "", kind: "", number: 0, eventId: "", what, detail };
}
