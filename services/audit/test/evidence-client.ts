import { auditV1 } from "@tollgate/contracts";
import { type EvidenceReport, type Finding, verifyEvidence } from "@tollgate/evidence";
import { callUnary, type Life, openGrpcClient, readStream, serviceMetadata } from "@tollgate/service";
import type { Infrastructure } from "@tollgate/testkit";

const TIMEOUT_MS = 20_000;

/** The evidence of an audit service, as the gateway asks for it. */
export function openEvidenceClient(infra: Infrastructure, port: number, life: Life) {
  const client = openGrpcClient(auditV1.AuditServiceClient, { address: `127.0.0.1:${port}`, name: "evidence", life });
  const metadata = serviceMetadata(infra.serviceKey);
  const options = { metadata, timeoutMs: TIMEOUT_MS, service: "audit" };

  return {
    getEvent: (id: string, tenant = ""): Promise<auditV1.GetEventResponse> =>
      callUnary(client.getEvent.bind(client), { id, tenant }, options),
    chains: async (tenant = ""): Promise<auditV1.Chain[]> =>
      (await callUnary(client.listChains.bind(client), { tenant }, options)).chains,
    keys: async (): Promise<auditV1.SigningKey[]> =>
      (await callUnary(client.listSigningKeys.bind(client), {}, options)).keys,
    rotate: async (by = "user:test"): Promise<auditV1.SigningKey> =>
      (await callUnary(client.rotateSigningKey.bind(client), { by }, options)).key!,

    async exportEvidence(request: Partial<auditV1.ExportEvidenceRequest> = {}): Promise<string[]> {
      const whole = { ...auditV1.ExportEvidenceRequest.create(), ...request };
      const lines: string[] = [];
      for await (const message of readStream(client.exportEvidence(whole, metadata), "audit"))
        lines.push(...message.lines);
      return lines;
    },

    /** VerifyRecord's findings and its last message. */
    async verify(request: Partial<auditV1.VerifyRecordRequest> = {}) {
      const whole = { ...auditV1.VerifyRecordRequest.create(), ...request };
      const findings: auditV1.Finding[] = [];
      let last: auditV1.VerifyRecordResponse | undefined;
      for await (const message of readStream(client.verifyRecord(whole, metadata), "audit")) {
        findings.push(...message.findings);
        last = message;
      }
      return { findings, last: last! };
    },
  };
}

export async function verifyLines(
  lines: readonly string[],
  pin?: string,
): Promise<{ findings: Finding[]; report: EvidenceReport }> {
  const findings: Finding[] = [];
  const report = await verifyEvidence({
    lines: (async function* () {
      yield* lines;
    })(),
    report: (finding) => findings.push(finding),
    ...(pin !== undefined && { pin }),
  });
  return { findings, report };
}
