import type { Metrics } from "@tollgate/service";

export type PolicyMetrics = ReturnType<typeof policyMetrics>;

export function policyMetrics(metrics: Metrics) {
  return {
    authentications: metrics.counter("tollgate_policy_authentications_total", "Tokens resolved", ["result"]),
    decisions: metrics.counter("tollgate_policy_decisions_total", "Decisions made", ["effect"]),
    decideSeconds: metrics.histogram("tollgate_policy_decide_seconds", "Time of one request for decisions"),
    opaAnswers: metrics.counter("tollgate_policy_opa_answers_total", "Answers of OPA", ["answer"]),
    changes: metrics.counter("tollgate_policy_changes_total", "Changes of policies and tokens", ["kind"]),
    webhooks: metrics.counter("tollgate_policy_webhooks_total", "Tries to tell a budget's webhook", ["result"]),
    revision: metrics.gauge("tollgate_policy_revision", "The revision that decisions rest on"),
    policies: metrics.gauge("tollgate_policy_policies", "Policies in force"),
    tokens: metrics.gauge("tollgate_policy_tokens", "Tokens known, revoked ones included"),
  };
}
