import type { Line } from "@tollgate/testkit";
import { flood, floodSetting } from "./scenarios/flood.ts";
import { kills, killsSetting } from "./scenarios/kills.ts";
import { misbehaving, misbehavingSetting } from "./scenarios/misbehaving.ts";
import { mixed, mixedSetting } from "./scenarios/mixed.ts";
import { sessions, sessionsSetting } from "./scenarios/sessions.ts";
import type { Setting, Stage } from "./stage.ts";

export interface Scenario {
  readonly title: string;
  readonly setting: Setting;
  readonly play: (stage: Stage) => Promise<Line[]>;
}

export const FULL_MINUTES = 10;
const SHARE_MIN = 0.05;

/** The mixed load lasts `minutes`; the others are as long as they have to be, and shorter where those are below ten. */
export function scenariosFor(minutes: number): Readonly<Record<string, Scenario>> {
  const share = Math.min(1, Math.max(SHARE_MIN, minutes / FULL_MINUTES));
  return {
    sessions: {
      title: "A server with state while its group goes from 1 to 3 runners and back",
      setting: sessionsSetting,
      play: (stage) => sessions(stage, { pauseMs: 100 }),
    },
    flood: {
      title: "One tenant floods with ten times its share",
      setting: floodSetting,
      play: (stage) => flood(stage, { phaseMs: Math.max(3_000, 6_000 * share) }),
    },
    misbehaving: {
      title: "Tools that misbehave",
      setting: misbehavingSetting,
      play: (stage) => misbehaving(stage, { phaseMs: Math.max(2_000, 3_000 * share) }),
    },
    kills: {
      title: "kill -9 of runners and processes",
      setting: killsSetting,
      play: (stage) => kills(stage, { calls: Math.round(20_000 * share) }),
    },
    mixed: {
      title: `50 processes of 5 servers for 3 tenants, ${minutes} min of mixed load`,
      setting: mixedSetting,
      play: (stage) => mixed(stage, { durationMs: minutes * 60_000 }),
    },
  };
}
