import { legacyClient } from "@tollgate/testkit";
import type { Stream } from "./load.ts";
import { CALLER_ROLE, type Stage, TOOL } from "./stage.ts";

/** Who calls until it is taken back. */
export interface Victim {
  readonly n: number;
  readonly name: string;
  token: string;
  readonly tenant: string;
  /** As it is in the events. */
  principal: string;
  session?: string;
}

/** One way to take something back. */
export interface Kind {
  readonly name: string;
  /** The path of the management API that does it. */
  readonly path: string;
  /** Gives the victim what it is going to lose. */
  prepare?(stage: Stage, victim: Victim): Promise<unknown>;
  /** From when it has returned nothing of the victim is let in. */
  takeBack(stage: Stage, victim: Victim): Promise<unknown>;
  /** What would stand in the way of later trials. */
  undo?(stage: Stage, victim: Victim): Promise<unknown>;
}

const callsPerDay = (principal: string, calls: number): object => {
  return { per: "principal", match: { principal }, per_day: calls };
};
const AGENT = { team: "team", roles: [CALLER_ROLE] };

export const KINDS: readonly Kind[] = [
  {
    name: "a token is revoked",
    path: "/api/v1/tokens/{id}",
    takeBack: ({ api }, { name }) => api("DELETE", `/tokens/${name}`),
  },
  {
    name: "a policy denies",
    path: "/api/v1/policies/{id}",
    takeBack: ({ api }, { n, principal }) => {
      const rule = { effect: "deny", principals: [`token:${principal}`], actions: ["tools/call"], resources: ["*:*"] };
      return api("PUT", `/policies/stop-${n}`, rule);
    },
    undo: ({ api }, { n }) => api("DELETE", `/policies/stop-${n}`),
  },
  {
    name: "an agent is disabled",
    path: "/api/v1/principals/{id}",
    async prepare({ api }, victim) {
      const { n, tenant } = victim;
      const agent = `agent:victim-${n}`;
      await api("PUT", `/principals/${agent}?tenant=${tenant}`, AGENT);
      const token = { name: `victim-${n}`, tenant, permissions: ["mcp"], agent };
      victim.token = (await api<{ secret: string }>("POST", "/tokens", token)).secret;
      victim.principal = agent;
    },
    takeBack: ({ api }, { tenant, principal }) =>
      api("PUT", `/principals/${principal}?tenant=${tenant}`, { ...AGENT, disabled: true }),
  },
  {
    name: "a role is withdrawn",
    path: "/api/v1/roles/{name}",
    takeBack: ({ api }, { tenant }) => api("PUT", `/roles/${CALLER_ROLE}?tenant=${tenant}`, { disabled: true }),
    undo: ({ api }, { tenant }) => api("PUT", `/roles/${CALLER_ROLE}?tenant=${tenant}`, { disabled: false }),
  },
  {
    name: "a limit is lowered",
    path: "/api/v1/limits/{id}",
    prepare: ({ api }, { n, name }) => api("PUT", `/limits/victim-${n}`, callsPerDay(name, 1_000_000)),
    // Below what it has used already.
    takeBack: ({ api }, { n, name }) => api("PUT", `/limits/victim-${n}`, callsPerDay(name, 1)),
    undo: ({ api }, { n }) => api("DELETE", `/limits/victim-${n}`),
  },
  {
    name: "a session is ended",
    path: "/api/v1/sessions/{id}",
    async prepare({ urls }, victim) {
      const { session, opened } = await legacyClient({ url: `${urls[0]}/mcp`, token: victim.token });
      if (session === "") throw new Error(`there is no session: ${opened.status} ${opened.text}`);
      victim.session = session;
    },
    takeBack: ({ api }, { session }) => api("DELETE", `/sessions/${session}`),
  },
];

export function streamOf({ urls }: Stage, { name, token, session }: Victim): Stream {
  return { name, tool: TOOL, token, urls, lanesPerUrl: 2, ...(session === undefined ? {} : { session }) };
}
