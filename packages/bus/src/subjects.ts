import { type Lane, LANES } from "@tollgate/contracts";
import { AppError } from "@tollgate/errors";

/** Everything in a subject that comes from outside has to be one token: no dots, blanks or wildcards. */
const PART = "[A-Za-z0-9_-]{1,64}";
const TOKEN = new RegExp(`^${PART}$`);

function token(value: string, what: string): string {
  if (TOKEN.test(value)) return value;
  throw new AppError("invalid_argument", `${what} ${JSON.stringify(value.slice(0, 64))} cannot be part of a subject`);
}

/** All subjects and stream names of one installation. Only this file spells them. */
export function subjectsFor(prefix: string) {
  const at = prefix === "" ? "" : `${token(prefix, "prefix")}.`;
  const stream = prefix === "" ? "" : `${prefix.toUpperCase()}_`;
  const escaped = at.replace(".", "\\.");
  const taken = new RegExp(
    `^${escaped}(mcp\\.call\\.v1\\.${PART}\\.(${LANES.join("|")}|to)|audit\\.v1\\.${PART})\\.${PART}$`,
  );
  return {
    streams: { calls: `${stream}CALLS`, audit: `${stream}AUDIT`, dead: `${stream}DEAD`, replies: `${stream}REPLIES` },
    sessionsBucket: `${stream}SESSIONS`,
    affinitiesBucket: `${stream}AFFINITIES`,
    keptAnswersBucket: `${stream}KEPT_ANSWERS`,
    allCalls: `${at}mcp.call.v1.>`,
    allAudit: `${at}audit.v1.>`,
    allDead: `${at}dead.v1.>`,
    allStreams: [`${at}mcp.stream.v1.>`, `${at}mcp.session.v1.>`],
    call: (group: string, lane: Lane, tenant: string) =>
      `${at}mcp.call.v1.${token(group, "group")}.${lane}.${token(tenant, "tenant")}`,
    /** One filter per lane: a work queue's filters must not overlap with those of calls bound to one runner. */
    callsOfGroup: (group: string) => LANES.map((lane) => `${at}mcp.call.v1.${token(group, "group")}.${lane}.*`),
    /** For the runner that holds something the call needs: a session's connection, a task, a call that waits. */
    callTo: (group: string, runner: string) =>
      `${at}mcp.call.v1.${token(group, "group")}.to.${token(runner, "runner")}`,
    callsToRunners: (group: string) => `${at}mcp.call.v1.${token(group, "group")}.to.*`,
    runnerDurable: (group: string, runner: string) => `bound-${token(group, "group")}-${token(runner, "runner")}`,
    runnersDurable: (group: string) => `runner-${token(group, "group")}`,
    cancel: (group: string) => `${at}mcp.cancel.v1.${token(group, "group")}`,
    reply: (gateway: string, call: string) => `${at}mcp.reply.v1.${token(gateway, "gateway")}.${token(call, "call")}`,
    repliesOf: (gateway: string) => `${at}mcp.reply.v1.${token(gateway, "gateway")}.*`,
    /** A reply of several frames. On the stream REPLIES for some minutes, so that any gateway can go on with it. */
    stream: (gateway: string, call: string) => `${at}mcp.stream.v1.${token(gateway, "gateway")}.${token(call, "call")}`,
    streamsOf: (gateway: string) => `${at}mcp.stream.v1.${token(gateway, "gateway")}.*`,
    streamOfCall: (call: string) => `${at}mcp.stream.v1.*.${token(call, "call")}`,
    /** What a server says to a session outside of any call. On REPLIES as well. */
    session: (session: string) => `${at}mcp.session.v1.${token(session, "session")}`,
    /** Asks every runner of a group how a server of it is. */
    health: (group: string) => `${at}mcp.health.v1.${token(group, "group")}`,
    answers: (runner: string) => `${at}mcp.answer.v1.${token(runner, "runner")}`,
    abandoned: `${at}mcp.abandoned.v1`,
    interests: (group: string) => `${at}mcp.interest.v1.${token(group, "group")}`,
    updates: `${at}mcp.update.v1`,
    /** Tells every gateway that somebody has decided on an approval. */
    approvals: `${at}mcp.approval.v1`,
    /** Asks every process of the installation how it is. */
    parts: `${at}mcp.parts.v1`,
    /** Tells every replica of the registry that there is a new revision of the catalogue. */
    catalogue: `${at}mcp.catalogue.v1`,
    audit: (tenant: string, kind: string) => `${at}audit.v1.${token(tenant, "tenant")}.${token(kind, "kind")}`,
    /** Of every tenant, of every kind, where none is named. */
    auditOf: ({ tenant, kind }: { tenant?: string | undefined; kind?: string | undefined }) =>
      `${at}audit.v1.${tenant === undefined ? "*" : token(tenant, "tenant")}.${kind === undefined ? "*" : token(kind, "kind")}`,
    /** Whether a subject is one of calls or of events: nothing else is put back from the dead letters. */
    takesBack: (subject: string) => taken.test(subject),
    dead: (service: string) => `${at}dead.v1.${token(service, "service")}`,
  };
}

export type Subjects = ReturnType<typeof subjectsFor>;
