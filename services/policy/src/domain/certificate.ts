import type { DesiredCertificate } from "@tollgate/desired-state";

/** Which client certificate stands for which agent. `agent` is a principal's id. */
export type CertificateSettings = DesiredCertificate;

/** A client's certificate whose chain has been verified. */
export interface ClientCertificate {
  readonly sha256: string;
  readonly commonName: string;
  readonly alternativeNames: readonly string[];
  /** Unix milliseconds. */
  readonly notAfterMs: number | bigint;
}

/** The first entry that fits. Names are compared to the letter: a near name is another's. */
export function findCertificate(
  entries: readonly CertificateSettings[],
  certificate: ClientCertificate,
): CertificateSettings | undefined {
  return entries.find(({ sha256, commonName, alternativeName }) => {
    if (sha256 !== undefined) return sha256 === certificate.sha256;
    if (commonName !== undefined) return commonName === certificate.commonName;
    return alternativeName !== undefined && certificate.alternativeNames.includes(alternativeName);
  });
}

/** As Principal.credential says it. Tokens' names hold no colon. */
export function credentialOf({ name }: CertificateSettings): string {
  return `certificate:${name}`;
}
