/** What policies may allow or forbid of the management API. */
export type AdminAction =
  | "admin/policies/read"
  | "admin/policies/write"
  | "admin/tokens/read"
  | "admin/tokens/write"
  | "admin/principals/read"
  | "admin/principals/write"
  | "admin/approvals/read"
  | "admin/approvals/decide"
  | "admin/sessions/read"
  | "admin/sessions/write"
  | "admin/servers/read"
  | "admin/servers/write"
  | "admin/audit/read"
  | "admin/usage/read"
  | "admin/dead-letters/read"
  | "admin/dead-letters/write";
