import { DEFAULT_RISK_LEVELS, type DesiredRiskLevels } from "@tollgate/desired-state";
import type { OauthSettings } from "./access-token.ts";

/** What the configuration file says beside tokens and policies. Plain JSON, without keys that have no value. */
export interface Settings {
  /** Whose access tokens are taken; none: no access tokens. */
  readonly oauth: readonly OauthSettings[];
  /** What calls of dangerous tools demand. */
  readonly riskLevels: DesiredRiskLevels;
}
export type SettingName = keyof Settings;

export const NO_SETTINGS: Settings = { oauth: [], riskLevels: DEFAULT_RISK_LEVELS };
