-- Thresholds that were passed: each is told once in a period, to whomever it concerns, however many replicas look, and over
-- restarts. A budget of another amount is another one.
CREATE TABLE policy.budget_alerts (
  budget text NOT NULL,
  amount text NOT NULL,
  key text NOT NULL,
  period_from timestamptz NOT NULL,
  -- Percent.
  threshold integer NOT NULL,
  PRIMARY KEY (budget, amount, key, period_from, threshold)
);
CREATE INDEX budget_alerts_by_period ON policy.budget_alerts (period_from);

-- Requests that wait until their receiver takes them. Where they go, and with which secrets, the budget says when they do.
CREATE TABLE policy.webhooks (
  -- Of the event that they tell of.
  id text PRIMARY KEY,
  budget text NOT NULL,
  body text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhooks_by_turn ON policy.webhooks (next_at);
