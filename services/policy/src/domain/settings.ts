import { DEFAULT_RISK_LEVELS, type DesiredRiskLevels } from "@tollgate/desired-state";
import type { OauthSettings } from "./access-token.ts";
import type { CertificateSettings } from "./certificate.ts";
import type { OpaSettings } from "./opa.ts";

/** What the configuration file says beside tokens and policies. Plain JSON, without keys that have no value. */
export interface Settings {
  /** Whose access tokens are taken; none: no access tokens. */
  readonly oauth: readonly OauthSettings[];
  /** Whose client certificates are taken. */
  readonly certificates: readonly CertificateSettings[];
  /** Who is asked beside the policies; null: nobody. */
  readonly opa: OpaSettings | null;
  /** What calls of dangerous tools demand. */
  readonly riskLevels: DesiredRiskLevels;
}
export type SettingName = keyof Settings;

export const NO_SETTINGS: Settings = { oauth: [], certificates: [], opa: null, riskLevels: DEFAULT_RISK_LEVELS };
