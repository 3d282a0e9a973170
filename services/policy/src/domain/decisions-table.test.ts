import { describe } from "vitest";
import { table } from "../../test/decision-table.ts";

// Policies as in tollgate.yaml, and below them who does what on what and what comes of it; decision-table.ts has the form.

describe("default deny: without policies nothing is allowed", () => {
  table(
    "",
    `
  dev    tools/call      files:read_file  → deny
  dev    tools/list      files:read_file  → deny
  dev    resources/read  files:a://b      → deny
  dev    prompts/get     files:greet      → deny
  dev    tools/call      files            → deny
  admin  tools/call      files:read_file  → deny
  admin  admin/policies/write  -          → allow
  dev    admin/policies/write  -          → deny
  alice  tools/call      files:read_file  amr=mfa → deny
  `,
  );
});

describe("a team has two servers", () => {
  table(
    `
  - { name: payments, effect: allow, principals: ["team:payments"], actions: ["*"], resources: ["files:*", "tickets:*"] }
  `,
    `
  dev       tools/call      files:read_file    → allow by payments
  dev       tools/call      files:drop         → allow by payments
  dev       tools/list      files:read_file    → allow by payments
  dev       tools/list      files              → allow by payments
  dev       resources/read  files:file:///a    → allow by payments
  dev       resources/list  files:file:///a    → allow by payments
  dev       prompts/get     tickets:greet      → allow by payments
  dev       prompts/list    tickets:greet      → allow by payments
  dev       tools/call      tickets:open       → allow by payments
  dev       tools/call      crm:open           → deny
  dev       tools/call      files-eu:read_file → deny
  dev       tools/list      crm:open           → deny
  alice     tools/call      tickets:open       → allow by payments
  sales     tools/call      files:read_file    → deny
  ops       tools/call      files:read_file    → deny
  globex    tools/call      files:read_file    → allow by payments
  only      tools/call      files:read_file    → allow by payments
  only      tools/call      tickets:open       → deny
  idle      tools/call      files:read_file    → deny
  dev       tools/delete    files:read_file    → deny
  dev       *               files:read_file    → deny
  dev       mcp             files:read_file    → deny
  dev       admin/audit/read  -                → deny
  `,
  );
});

describe("one server is closed in production", () => {
  table(
    `
  - { name: office, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["group:office"] }
  - { name: no-prod-crm, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["crm:*"], conditions: { environment: production } }
  - { name: staging, effect: allow, principals: ["role:seller"], actions: ["tools/call"], resources: ["*:*"], conditions: { environment: [staging, test] } }
  `,
    `
  dev    tools/call  crm:find      env=production  → deny by no-prod-crm
  dev    tools/call  crm:find      env=staging     → allow by office
  dev    tools/call  crm:find                      → allow by office
  dev    tools/list  crm:find      env=production  → deny by no-prod-crm
  dev    tools/list  crm:find      env=staging     → allow by office
  dev    prompts/get crm:find      env=production  → allow by office
  dev    tools/call  tickets:open  env=production  → allow by office
  dev    tools/call  files:a       env=production  → deny
  sales  tools/call  crm:find      env=staging     → allow by staging
  sales  tools/call  crm:find      env=test        → allow by staging
  sales  tools/call  crm:find      env=production  → deny by no-prod-crm
  sales  tools/call  files:a       env=production  → deny
  sales  tools/call  files:a                       → deny
  sales  tools/call  files:a       env=staging2    → deny
  `,
  );
});

describe("tenants are apart", () => {
  table(
    `
  - { name: acme-only, tenant: acme, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["files:*"] }
  - { name: globex-ban, tenant: globex, effect: deny, principals: ["*"], actions: ["*"], resources: ["tickets:*"] }
  - { name: both, effect: allow, principals: ["tenant:acme", "tenant:globex"], actions: ["tools/call"], resources: ["tickets:*"] }
  - { name: cedar-acme, tenant: acme, cedar: 'permit (principal, action == Action::"tools/call", resource in Server::"crm");' }
  `,
    `
  dev     tools/call  files:a    → allow by acme-only
  globex  tools/call  files:a    → deny
  dev     tools/call  tickets:a  → allow by both
  globex  tools/call  tickets:a  → deny by globex-ban
  dev     tools/call  crm:a      → allow by cedar-acme
  dev     tools/call  crm        → allow by cedar-acme
  globex  tools/call  crm:a      → deny
  `,
  );
});

describe("tokens, agents and users are told apart", () => {
  table(
    `
  - { name: a-token, effect: allow, principals: ["token:dev"], actions: ["*"], resources: ["files:*"] }
  - { name: an-agent, effect: allow, principals: ["agent:deployer"], actions: ["*"], resources: ["files:*"] }
  - { name: a-user, effect: allow, principals: ["user:alice"], actions: ["*"], resources: ["files:*"] }
  - { name: wrong-kinds, effect: allow, principals: ["agent:dev", "user:dev", "token:deployer", "token:alice"], actions: ["*"], resources: ["*"] }
  - { name: robots, effect: deny, principals: ["role:robot"], actions: ["*"], resources: ["files:drop*"] }
  `,
    `
  dev       tools/call  files:a     → allow by a-token
  deployer  tools/call  files:a     → allow by an-agent
  alice     tools/call  files:a     → allow by a-user
  dev       tools/call  crm:a       → deny
  deployer  tools/call  crm:a       → deny
  alice     tools/call  crm:a       → deny
  deployer  tools/call  files:drop  → deny by robots
  dev       tools/call  files:drop  → allow by a-token
  `,
  );
});

describe("in business hours", () => {
  table(
    `
  - name: office-hours
    effect: allow
    principals: ["role:developer"]
    actions: ["tools/call"]
    resources: ["files:*"]
    conditions: { time: { from: "08:00", to: "18:00", timezone: Europe/Berlin }, weekdays: [mon, tue, wed, thu, fri] }
  - { name: night-watch, effect: allow, principals: ["role:operator"], actions: ["tools/call"], resources: ["tickets:*"], conditions: { time: { from: "22:00", to: "06:00" }, weekdays: fri } }
  - { name: sundays, effect: allow, principals: ["role:seller"], actions: ["tools/call"], resources: ["crm:*"], conditions: { weekdays: sun } }
  - { name: freeze, effect: deny, principals: ["role:intern"], actions: ["tools/call"], resources: ["*"], conditions: { time: { from: "12:00", to: "13:00" } } }
  `,
    `
  dev     tools/call  files:a    at=2027-01-04T12:00Z  → allow by office-hours until 2027-01-04T17:00Z
  dev     tools/call  files:a    at=2027-01-04T06:59Z  → deny until 2027-01-04T07:00Z
  dev     tools/call  files:a    at=2027-01-04T07:00Z  → allow by office-hours until 2027-01-04T17:00Z
  dev     tools/call  files:a    at=2027-01-04T16:59Z  → allow by office-hours until 2027-01-04T17:00Z
  dev     tools/call  files:a    at=2027-01-04T17:00Z  → deny until 2027-01-05T07:00Z
  dev     tools/call  files:a    at=2027-01-02T12:00Z  → deny
  dev     tools/call  files:a    at=2027-01-03T12:00Z  → deny
  dev     tools/call  files:a    at=2027-07-05T06:30Z  → allow by office-hours until 2027-07-05T16:00Z
  dev     tools/call  files:a    at=2027-07-05T16:30Z  → deny
  dev     tools/call  tickets:a  at=2027-01-04T12:00Z  → deny
  ops     tools/call  tickets:a  at=2027-01-08T21:59Z  → deny until 2027-01-08T22:00Z
  ops     tools/call  tickets:a  at=2027-01-08T22:00Z  → allow by night-watch
  ops     tools/call  tickets:a  at=2027-01-09T05:59Z  → allow by night-watch until 2027-01-09T06:00Z
  ops     tools/call  tickets:a  at=2027-01-09T06:00Z  → deny
  ops     tools/call  tickets:a  at=2027-01-09T22:30Z  → deny
  ops     tools/call  tickets:a  at=2027-01-08T05:00Z  → deny
  sales   tools/call  crm:a      at=2027-01-03T00:00Z  → allow by sundays until 2027-01-04T00:00Z
  sales   tools/call  crm:a      at=2027-01-03T23:59Z  → allow by sundays until 2027-01-04T00:00Z
  sales   tools/call  crm:a      at=2027-01-04T00:00Z  → deny
  intern  tools/call  files:a    at=2027-01-04T12:30Z  → deny by freeze until 2027-01-04T13:00Z
  intern  tools/call  files:a    at=2027-01-04T13:00Z  → allow by office-hours
  intern  tools/call  files:a    at=2027-01-04T11:59Z  → allow by office-hours until 2027-01-04T12:00Z
  `,
  );
});

describe("from where", () => {
  table(
    `
  - { name: from-office, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["files:*"], conditions: { network: ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"] } }
  - { name: tickets, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"] }
  - { name: not-from-lab, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"], conditions: { network: 10.66.0.0/16 } }
  `,
    `
  dev  tools/call  files:a    from=10.1.2.3         → allow by from-office
  dev  tools/call  files:a    from=10.255.255.255   → allow by from-office
  dev  tools/call  files:a    from=11.0.0.1         → deny
  dev  tools/call  files:a    from=192.0.2.7        → allow by from-office
  dev  tools/call  files:a    from=192.0.2.8        → deny
  dev  tools/call  files:a    from=2001:db8::1      → allow by from-office
  dev  tools/call  files:a    from=2001:db9::1      → deny
  dev  tools/call  files:a    from=::ffff:10.1.2.3  → allow by from-office
  dev  tools/call  files:a    from=::ffff:a01:203   → allow by from-office
  dev  tools/call  files:a    from=2001:db8::1%eth0 → allow by from-office
  dev  tools/call  files:a                          → deny
  dev  tools/call  files:a    from=localhost        → deny
  dev  tools/call  files:a    from=10.1.2.3.4       → deny
  dev  tools/call  tickets:a  from=192.0.2.7        → allow by tickets
  dev  tools/call  tickets:a  from=10.66.1.1        → deny by not-from-lab
  dev  tools/call  tickets:a  from=::ffff:10.66.1.1 → deny by not-from-lab
  dev  tools/call  tickets:a                        → deny by not-from-lab
  dev  tools/call  tickets:a  from=unknown          → deny by not-from-lab
  `,
  );
});

describe("by what it can do", () => {
  table(
    `
  - { name: harmless, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["*"], conditions: { risk: [LOW, MEDIUM] } }
  - { name: operators, effect: allow, principals: ["role:operator"], actions: ["tools/call"], resources: ["*"], conditions: { risk: HIGH } }
  - { name: never, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["*"], conditions: { risk: CRITICAL } }
  - { name: all-crm, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["crm:*"] }
  `,
    `
  dev  tools/call  files:a                → allow by harmless
  dev  tools/call  files:a  risk=LOW      → allow by harmless
  dev  tools/call  files:a  risk=MEDIUM   → allow by harmless
  dev  tools/call  files:a  risk=HIGH     → deny
  dev  tools/call  files:a  risk=CRITICAL → deny by never
  dev  tools/call  crm:a    risk=CRITICAL → deny by never
  dev  tools/call  crm:a    risk=HIGH     → allow by all-crm
  dev  tools/call  crm:a    risk=MEDIUM   → allow by all-crm, harmless
  dev  tools/call  crm:a    risk=low      → deny
  dev  tools/call  crm:a    risk=EXTREME  → deny
  ops  tools/call  files:a  risk=HIGH     → allow by operators
  ops  tools/call  files:a  risk=CRITICAL → deny by never
  `,
  );
});

describe("after which sign-in", () => {
  table(
    `
  - { name: strong, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["files:*"], conditions: { mfa: true } }
  - { name: gold, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"], conditions: { acr: [gold, platinum] } }
  - { name: fresh, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["crm:*"], conditions: { max_sign_in_age: 3600 } }
  - { name: open, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["wiki:*"] }
  - { name: weak, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["wiki:edit*"], conditions: { mfa: true, max_sign_in_age: 3600 } }
  `,
    `
  alice     tools/call  files:a      amr=pwd,mfa             → allow by strong
  alice     tools/call  files:a      acr=mfa                 → allow by strong
  alice     tools/call  files:a      amr=pwd,otp             → deny, step up to mfa
  alice     tools/call  files:a                              → deny, step up to mfa
  dev       tools/call  files:a                              → deny
  deployer  tools/call  files:a                              → deny
  alice     tools/call  tickets:a    acr=gold                → allow by gold
  alice     tools/call  tickets:a    acr=platinum            → allow by gold
  alice     tools/call  tickets:a    acr=silver              → deny, step up to gold platinum
  alice     tools/call  tickets:a                            → deny, step up to gold platinum
  dev       tools/call  tickets:a                            → deny
  alice     tools/call  crm:a        signed=2027-01-04T11:30Z  → allow by fresh
  alice     tools/call  crm:a        signed=2027-01-04T11:00Z  → allow by fresh
  alice     tools/call  crm:a        signed=2027-01-04T10:59Z  → deny, step up to 3600 s
  alice     tools/call  crm:a                                → deny, step up to 3600 s
  alice     tools/call  crm:a        signed=2027-01-04T12:01Z  → allow by fresh
  alice     tools/call  other:a      amr=pwd                 → deny
  alice     tools/call  wiki:read                            → allow by open
  alice     tools/call  wiki:edit    amr=mfa signed=2027-01-04T11:30Z  → allow by open
  alice     tools/call  wiki:edit    amr=mfa                 → deny by weak, step up to 3600 s
  alice     tools/call  wiki:edit    signed=2027-01-04T11:30Z  → deny by weak, step up to mfa
  alice     tools/call  wiki:edit                            → deny by weak, step up to mfa 3600 s
  dev       tools/call  wiki:edit                            → deny by weak
  `,
  );
});

describe("with which arguments", () => {
  table(
    `
  - { name: data, effect: allow, principals: ["*"], actions: ["tools/list", "tools/call"], resources: ["files:*"], conditions: { arguments: { path: { like: "/data/*" } } } }
  - { name: all-tickets, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"] }
  - { name: no-force, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"], conditions: { arguments: { force: { is: true } } } }
  - { name: no-millions, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"], conditions: { arguments: { amount: { min: 1000000 } } } }
  - { name: small, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["crm:*"], conditions: { arguments: { amount: { min: 0, max: 99.5 }, currency: { in: [EUR, USD] } } } }
  - { name: shallow, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["wiki:*"], conditions: { arguments: { options.depth: { max: 2 } } } }
  - { name: any-wiki, effect: allow, principals: ["role:operator"], actions: ["tools/call"], resources: ["wiki:*"] }
  - { name: not-deep, effect: deny, principals: ["role:operator"], actions: ["tools/call"], resources: ["wiki:*"], conditions: { arguments: { options.depth: { min: 3 } } } }
  - { name: two, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["two:*"], conditions: { arguments: { n: { in: [1, 2.5] } } } }
  - { name: prompt, effect: allow, principals: ["*"], actions: ["prompts/get"], resources: ["files:*"], conditions: { arguments: { name: { is: bob } } } }
  `,
    `
  dev  tools/call  files:read                                         → allow by data, if the arguments are
  dev  tools/call  files:read     args={"path":"/data/x"}             → allow by data
  dev  tools/call  files:read     args={"path":"/etc/passwd"}         → deny
  dev  tools/call  files:read     args={}                             → deny
  dev  tools/call  files:read     args={"path":["/data/x"]}           → deny
  dev  tools/call  files:read     args={"path":null}                  → deny
  dev  tools/call  files:read     args={"path":7}                     → deny
  dev  tools/call  files:read     args={"path":{"like":"/data/x"}}    → deny
  dev  tools/call  files:read     args={"Path":"/data/x"}             → deny
  dev  tools/call  files:read     args={"path":"/data/x","y":[1]}     → allow by data
  dev  tools/call  files:read     args=[]                             → deny
  dev  tools/list  files:read                                         → allow by data
  dev  tools/call  tickets:open                                       → allow by all-tickets, if the arguments are
  dev  tools/call  tickets:open   args={}                             → allow by all-tickets
  dev  tools/call  tickets:open   args={"force":false}                → allow by all-tickets
  dev  tools/call  tickets:open   args={"force":true}                 → deny by no-force
  dev  tools/call  tickets:open   args={"force":"true"}               → deny by no-force
  dev  tools/call  tickets:open   args={"force":1}                    → deny by no-force
  dev  tools/call  tickets:open   args={"force":[true]}               → deny by no-force
  dev  tools/call  tickets:open   args={"force":null}                 → deny by no-force
  dev  tools/call  tickets:open   args={"force":{}}                   → deny by no-force
  dev  tools/call  tickets:open   args={"amount":999999.9999}         → allow by all-tickets
  dev  tools/call  tickets:open   args={"amount":1000000}             → deny by no-millions
  dev  tools/call  tickets:open   args={"amount":1e300}               → deny by no-millions
  dev  tools/call  tickets:open   args={"amount":-1e300}              → deny by no-millions
  dev  tools/call  tickets:open   args={"amount":0.00001}             → deny by no-millions
  dev  tools/call  tickets:open   args={"amount":"5"}                 → deny by no-millions
  dev  tools/call  tickets:open   args={"amount":5,"force":true}      → deny by no-force
  dev  tools/call  crm:pay        args={"amount":99.5,"currency":"EUR"}  → allow by small
  dev  tools/call  crm:pay        args={"amount":99.51,"currency":"EUR"} → deny
  dev  tools/call  crm:pay        args={"amount":0,"currency":"USD"}     → allow by small
  dev  tools/call  crm:pay        args={"amount":-1,"currency":"USD"}    → deny
  dev  tools/call  crm:pay        args={"amount":1,"currency":"GBP"}     → deny
  dev  tools/call  crm:pay        args={"amount":1}                      → deny
  dev  tools/call  crm:pay        args={"amount":"1","currency":"EUR"}   → deny
  dev  tools/call  crm:pay                                            → allow by small, if the arguments are
  dev  tools/call  wiki:find      args={"options":{"depth":2}}        → allow by shallow
  dev  tools/call  wiki:find      args={"options":{"depth":3}}        → deny
  dev  tools/call  wiki:find      args={"options.depth":1}            → allow by shallow
  dev  tools/call  wiki:find      args={"options.depth":1,"options":{"depth":9}}  → deny
  dev  tools/call  wiki:find      args={"options":[{"depth":1}]}      → deny
  dev  tools/call  wiki:find      args={"depth":1}                    → deny
  ops  tools/call  wiki:find      args={}                             → allow by any-wiki
  ops  tools/call  wiki:find      args={"options":{}}                 → allow by any-wiki
  ops  tools/call  wiki:find      args={"options":{"depth":2}}        → allow by any-wiki, shallow
  ops  tools/call  wiki:find      args={"options":{"depth":3}}        → deny by not-deep
  ops  tools/call  wiki:find      args={"options":{"depth":[1]}}      → deny by not-deep
  ops  tools/call  wiki:find      args={"options":[{"depth":1}]}      → deny by not-deep
  ops  tools/call  wiki:find      args={"options":"depth=9"}          → deny by not-deep
  ops  tools/call  wiki:find      args={"options":null}               → deny by not-deep
  ops  tools/call  wiki:find      args={"options.depth":1,"options":{"depth":9}}  → deny by not-deep
  dev  tools/call  two:x          args={"n":2.5}                      → allow by two
  dev  tools/call  two:x          args={"n":1.0}                      → allow by two
  dev  tools/call  two:x          args={"n":2}                        → deny
  dev  tools/call  two:x          args={"__proto__":{"n":1}}          → deny
  dev  prompts/get files:greet                                        → allow by prompt, if the arguments are
  dev  prompts/get files:greet    args={"name":"bob"}                 → allow by prompt
  dev  prompts/get files:greet    args={"name":"eve"}                 → deny
  dev  resources/read files:a     args={"name":"bob"}                 → deny
  `,
  );
});

describe("in a sandbox", () => {
  table(
    `
  - { name: apart, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["files:*"], conditions: { require_sandbox: true } }
  - { name: tickets, effect: allow, principals: ["*"], actions: ["tools/call"], resources: ["tickets:*"] }
  - { name: no-bare-writes, effect: deny, principals: ["*"], actions: ["tools/call"], resources: ["*:write*"], conditions: { require_sandbox: true } }
  `,
    `
  dev  tools/call  files:a        sandbox  → allow by apart
  dev  tools/call  files:a                 → deny
  dev  tools/call  tickets:a               → allow by tickets
  dev  tools/call  tickets:write           → deny by no-bare-writes
  dev  tools/call  tickets:write  sandbox  → allow by tickets
  `,
  );
});

describe("administration", () => {
  table(
    `
  - { name: everything, effect: allow, principals: ["role:developer"], actions: ["*"], resources: ["*"] }
  - { name: auditors, effect: allow, principals: ["role:seller"], actions: ["admin/audit/read", "admin/usage/read"], resources: ["*"] }
  - { name: approvers, effect: allow, principals: ["role:operator"], actions: ["admin/approvals/decide"], resources: ["*"], conditions: { network: 10.0.0.0/8 } }
  - { name: robots, effect: deny, principals: ["agent:deployer"], actions: ["admin/*"], resources: ["*"] }
  - { name: no-revoking-at-noon, effect: deny, principals: ["*"], actions: ["admin/tokens/write"], resources: ["*"], conditions: { time: { from: "12:00", to: "13:00" } } }
  `,
    `
  dev       admin/policies/read    -                → deny
  dev       admin/tokens/write     -  at=2027-01-04T14:00Z → deny
  dev       tools/call             files:a          → allow by everything
  sales     admin/audit/read       -                → allow by auditors
  sales     admin/usage/read       -                → allow by auditors
  sales     admin/policies/read    -                → deny
  sales     tools/call             files:a          → deny
  ops       admin/approvals/decide -  from=10.0.0.1 → allow by approvers
  ops       admin/approvals/decide -  from=11.0.0.1 → deny
  ops       admin/approvals/decide -                → deny
  admin     admin/policies/write   -                → allow
  admin     admin/approvals/decide -                → allow
  admin     admin/tokens/write     -  at=2027-01-04T12:30Z → deny by no-revoking-at-noon
  admin     admin/tokens/write     -  at=2027-01-04T13:30Z → allow
  deployer  admin/servers/read     -                → deny by robots
  admin     admin/none             -                → deny
  admin     admin/*                -                → deny
  `,
  );
});

describe("what may be used is listed, unless a policy denies to list it", () => {
  table(
    `
  - { name: calls, effect: allow, principals: ["role:developer"], actions: ["tools/call"], resources: ["files:*"] }
  - { name: lists, effect: allow, principals: ["role:developer"], actions: ["tools/list", "resources/list", "prompts/list"], resources: ["*"] }
  - { name: reads, effect: allow, principals: ["role:developer"], actions: ["resources/read"], resources: ["files:a*"] }
  - { name: only-calls, effect: allow, principals: ["role:seller"], actions: ["tools/call"], resources: ["*"] }
  - { name: hidden, effect: deny, principals: ["*"], actions: ["tools/list"], resources: ["files:secret*"] }
  `,
    `
  dev    tools/list      files:a       → allow by calls
  dev    tools/list      crm:a         → deny
  dev    tools/call      files:secret  → allow by calls
  dev    tools/list      files:secret  → deny by hidden
  dev    tools/list      crm           → allow by lists
  dev    resources/list  files:a://x   → allow by reads
  dev    resources/list  files:b://x   → deny
  dev    resources/read  files:a://x   → allow by reads
  dev    prompts/list    files:greet   → deny
  sales  tools/call      crm:a         → allow by only-calls
  sales  tools/list      crm:a         → allow by only-calls
  sales  tools/list      files:secret  → deny by hidden
  `,
  );
});

describe("in Cedar", () => {
  table(
    `
  - name: own-team
    cedar: |
      permit (principal, action in Action::"mcp", resource)
      when { principal.tenant == "acme" && principal.team == "payments" && principal.roles.contains("developer") }
      unless { resource.environment == "production" || resource.risk == "CRITICAL" };
  - { name: by-kind, cedar: 'permit (principal is Agent, action, resource is Tool);' }
  - { name: by-clock, cedar: 'permit (principal == User::"alice", action, resource) when { context.now > datetime("2027-01-04") };' }
  - { name: by-window, cedar: 'permit (principal in Role::"seller", action, resource) when { context.windows.contains("mon 08:00-18:00 UTC") };' }
  - { name: hidden-name, cedar: 'forbid (principal, action, resource in Server::"crm") when { context has "\\u{61}ddress" && context["\\u{61}ddress"].isLoopback() };' }
  - name: arguments
    cedar: |
      permit (principal in Role::"operator", action == Action::"tools/call", resource in Group::"disk")
      when { context.arguments.any || (context.arguments.numbers.hasTag("n") && context.arguments.numbers.getTag("n").lessThan(decimal("3.0"))) };
  - { name: admins, cedar: 'permit (principal in Team::"sales", action in Action::"admin", resource);' }
  - { name: overflow, cedar: 'forbid (principal in Role::"robot", action == Action::"prompts/get", resource) when { 9223372036854775807 + 1 > 0 };' }
  `,
    `
  dev       tools/call      tickets:a                      → allow by own-team, if the arguments are
  dev       resources/read  tickets:a                      → allow by own-team
  dev       tools/call      tickets:a  env=production      → deny
  dev       tools/call      tickets:a  risk=CRITICAL       → deny
  globex    tools/call      tickets:a                      → deny
  deployer  tools/call      tickets:a                      → allow by by-kind, if the arguments are
  deployer  resources/read  tickets:a                      → deny
  deployer  tools/call      tickets                        → deny
  deployer  prompts/get     tickets:a                      → deny by overflow
  alice     tools/call      tickets:a  at=2027-01-04T00:01Z → allow by by-clock, if the arguments are
  alice     tools/call      tickets:a  at=2027-01-03T23:59Z → deny
  sales     tools/call      tickets:a  at=2027-01-04T12:00Z → allow by by-window, if the arguments are
  sales     tools/call      tickets:a  at=2027-01-04T18:00Z → deny
  dev       tools/call      crm:a      from=10.0.0.1       → allow by own-team, if the arguments are
  dev       tools/call      crm:a      from=127.0.0.1      → deny by hidden-name
  dev       tools/call      crm:a                          → allow by own-team, if the arguments are
  ops       tools/call      files:a                        → allow by arguments, if the arguments are
  ops       tools/call      files:a    args={"n":2}        → allow by arguments
  ops       tools/call      files:a    args={"n":3}        → deny
  sales     admin/policies/write  -  at=2027-01-04T20:00Z  → allow by admins
  dev       admin/policies/write  -                        → deny
  `,
  );
});
