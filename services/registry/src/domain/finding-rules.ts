import type { Risk } from "@tollgate/contracts";

/** What a text of a definition says that a description of a tool has no reason to say. */
export interface Rule {
  readonly kind: "hidden_instructions" | "tool_shadowing" | "exfiltration";
  /** Of the text folded: lower case, one space between words. Repetitions are bounded, so that it takes linear time. */
  readonly pattern: RegExp;
  /** Continues "it …". */
  readonly why: string;
  readonly risk: Risk;
}

const INSTRUCTIONS: readonly Rule[] = [
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:ignore|disregard|forget|override|overrule|supersede)s? (?:[\w' ]{0,30})?\b(?:previous|prior|above|earlier|preceding|original|other|existing|system|developer|safety|your|all|any)\b [\w' ]{0,24}\b(?:instruction|prompt|guideline|directive|guardrail)s?\b/,
    why: "tells the model to drop its instructions",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:ignore|disregard|forget) (?:everything|anything|all|whatever)\b.{0,20}\b(?:above|before|previous|earlier|told|said)\b/,
    why: "tells the model to drop its instructions",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:do not|don't|dont|never|must not|mustn't|should not|shouldn't|avoid|refrain from|no need to) (?:\w+ ){0,2}?(?:tell|telling|mention|mentioning|inform|informing|notify|notifying|alert|alerting|disclose|disclosing|reveal|revealing|explain|explaining|report|reporting)\b[^.!?]{0,50}\b(?:to )?(?:the |your |any )?(?:user|human|customer|operator|person)s?\b(?!'s)/,
    why: "tells the model to keep something from its user",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:do not|don't|never|must not) (?:tell|mention|reveal|disclose|talk about) (?:that you|that this|this (?:step|action|instruction|requirement|detail|part|to any)|these instructions|it to any|about this)/,
    why: "tells the model to keep something from its user",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\bwithout (?:telling|informing|notifying|alerting|mentioning (?:it|this) to|(?:the )?(?:knowledge|awareness|consent) of) (?:the |your )(?:user|human)\b(?!'s)|\bwithout the user(?:'s)? (?:knowledge|knowing|noticing|awareness|being told)\b/,
    why: "tells the model to keep something from its user",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:keep|keeping) (?:this|it|these|that) (?:\w+ ){0,3}?(?:secret|hidden|quiet|confidential|from the user)\b|\b(?:hidden|concealed|invisible) (?:from|to) the (?:user|human)\b|\bthe user (?:must|should|may|need|does|can|will|do) ?(?:not|n't|never|no) (?:need to |be able to )?(?:know|see|notice|be told|be informed|be aware|learn)\b(?! (?:their|the|its|whether|if|which|how))/,
    why: "says that its user is not to know",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:silently|secretly|covertly|quietly|stealthily) (?:\w+ ){0,2}?(?:send|include|append|attach|add|call|invoke|run|forward|upload|read|copy|collect|log|pass|insert|exfiltrate|transmit|fetch)\b/,
    why: "tells the model to do something unnoticed",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:before|prior to|after) (?:using|calling|invoking|running|executing|you use|you call|you invoke) (?:any|any other|all|all other|every|every other|each|another|other)(?: mcp)? (?:tool|function|server)s?\b/,
    why: "puts itself before all other tools",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\bbefore (?:using|calling|invoking|running|executing) (?:this|the) (?:tool|function)\b[^.!?]{0,60}\b(?:read|open|cat|access|retrieve|collect|gather|dump|list)\b[^.!?]{0,60}(?:~\/|\/etc\/|\/home\/|\.env\b|\bfiles? (?:from|at|in)\b|\bcontents? of\b)/,
    why: "wants a file read before it is called",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /<\/?(?:important|instructions?|system[-_ ]?prompt|hidden|im_start|im_end|system[-_ ]?instructions?|user[-_ ]?secret|s>|critical[-_ ]instructions?)\b[^<>]{0,80}>?|<\|(?:im_start|im_end|system|user|assistant|endoftext|begin_of_text|start_header_id)\|>|\[\/?inst\]|<<\/?sys>>/,
    why: "has marks that models take for their own instructions",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern: /<\/(?:system|secret|critical|assistant|override|prompt|admin|note|urgent|priority|developer)>/,
    why: "has marks that models take for their own instructions",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /(?:^|[.\]\n] ?)(?:#{1,6} ?|\[|\*\*|\{\{?)?(?:system|system prompt|system message|new instructions?|assistant instructions?|instructions? (?:for|to) (?:the )?(?:ai|llm|model|assistant|agent)|note to (?:the )?(?:ai|llm|model|assistant|agent))(?:\*\*|\]|\}\}?)? ?:(?! ?(?:true|false|\d|"|\{|string|boolean))/,
    why: "speaks to the model as if it were its instructions",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern: /<!--(?=[^>]{0,400}-->)[^a-z]{0,10}(?:[a-z']{2,20}[ ,.:;]{1,3}){3}/,
    why: "has a comment of HTML, which is shown to models and not to people",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\byou are now (?:an? |the |in )?(?:\w+ ){0,2}?(?:dan|unrestricted|jailbroken|admin(?:istrator)?|root|developer mode|debug mode|god mode|maintenance mode|free from|not bound)\b|\bfrom now on,? you (?:are|must|will|should|have)\b|\byour (?:new|real|actual|true|primary) (?:task|goal|instructions?|purpose|objective|role|priority) (?:is|are)\b|\bpretend (?:that )?you (?:are|have)\b/,
    why: "gives the model another role",
    risk: "HIGH",
  },
  {
    kind: "hidden_instructions",
    pattern:
      /\b(?:bypass|disable|circumvent|ignore|evade|turn off) (?:\w+ ){0,2}?(?:safety|guardrails?|content|moderation|security) ?(?:filters?|measures|guidelines|checks|guardrails?|policies|policy|restrictions|rules|protocols?)\b/,
    why: "tells the model to get around what protects its user",
    risk: "HIGH",
  },
];

const SHADOWING: readonly Rule[] = [
  {
    kind: "tool_shadowing",
    pattern:
      /\b(?:side[- ]effect|effect|change|modif\w{1,9}) (?:on|of|to|for) (?:the )?(?:also present|previously declared|other|already installed|existing)\b.{0,40}\b(?:tool|function|server)s?\b|\b(?:the )?also present \w/,
    why: "wants to change what another tool does",
    risk: "HIGH",
  },
  {
    kind: "tool_shadowing",
    pattern:
      /\b(?:instead of|rather than|in place of|never use|do not use|don't use|stop using) (?:using |calling )?(?:the |any |all )?(?:other|another|any other|all other|similar|competing) (?:\w+ )?(?:tool|server|function|connector)s?\b/,
    why: "tells the model to leave other tools alone",
    risk: "MEDIUM",
  },
  {
    kind: "tool_shadowing",
    pattern:
      /\bother (?:\w+ ){0,2}?(?:tool|server|function)s? (?:is|are|has been|have been|was|were) (?:deprecated|broken|unsafe|insecure|compromised|outdated|unreliable|disabled|replaced|malicious|not safe)\b/,
    why: "speaks ill of other tools",
    risk: "MEDIUM",
  },
  {
    kind: "tool_shadowing",
    pattern:
      /\b(?:when(?:ever)?|every time|each time|if) (?:the |any |another |an? )(?:\w{1,40} ){0,2}?(?:tool|function) (?:is|gets) (?:called|used|invoked|run|executed|available)\b[^.!?]{0,80}\b(?:must|always|also|instead|never)\b/,
    why: "tells the model what to do when it uses another tool",
    risk: "HIGH",
  },
];

const SENSITIVE =
  "(?:~|\\/home\\/[\\w$<>{}-]{1,32}|\\/root|\\$home)?\\/?(?:\\.ssh\\b|\\.cursor\\/mcp\\.json|claude_desktop_config|\\.git-credentials|\\.netrc|\\.pgpass|\\.bash_history|\\.zsh_history|\\.mozilla|login data\\b|wallet\\.dat)|\\bmcp\\.json\\b|\\bid_(?:rsa|ed25519|ecdsa|dsa)\\b|\\/etc\\/(?:passwd|shadow|sudoers)\\b|\\bauthorized_keys\\b|\\bbrowser cookies\\b|\\bkeychain\\b.{0,12}\\bpasswords?\\b|~\\/\\.(?:aws|kube|docker|npmrc|config|gnupg|azure|env)\\b[^ ]{0,40}(?= .{0,60}\\b(?:pass|include|send|content|contents|parameter|argument|append|attach)\\b)";
const TAKES =
  "\\b(?:read|open|cat|include|pass|load|get|fetch|copy|send|upload|retrieve|provide|append|access|attach|extract|dump|insert|supply|paste|put|steal|exfiltrate|collect)\\b";
const DATA =
  "(?:data|contents?|results?|outputs?|conversations?|credentials?|secrets?|tokens?|passwords?|keys?|information|everything|responses?|files?|messages?|e-?mails?|copy|copies|arguments?|parameters?|history|queries|query|prompts?|them|it)";
const ADDRESS = "(?:https?:\\/\\/|\\b[\\w.+-]{1,64}@[\\w-]{1,64}\\.)";

const EXFILTRATION: readonly Rule[] = [
  {
    kind: "exfiltration",
    pattern: new RegExp(`${TAKES}[^!?]{0,60}?(?:${SENSITIVE})`),
    why: "wants a file read in which keys or settings are",
    risk: "CRITICAL",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:include|pass|provide|send|copy|paste|put|append|insert|supply|attach|fill in|summari[sz]e|embed|store|log|add)\b[^.!?]{0,50}\b(?:the|this|our|your|whole|entire|full|complete|all) (?:\w+ ){0,2}?(?:(?:conversation|chat|dialogue?)(?: history| context| transcript| so far)?|messages (?:of|in) (?:this|the|our) (?:conversation|chat)|(?:previous|prior|earlier|user) messages)\b[^.!?]{0,40}(?:\b(?:as|in|into|to|here|so far|verbatim|with)\b|$)/,
    why: "asks for the conversation",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:your|the model's|the assistant's|the agent's|the ai's|the llm's) (?:\w+ )?(?:system prompt|system message|initial instructions|hidden instructions|instructions verbatim|chain of thought|internal reasoning|reasoning trace)\b|\b(?:include|pass|provide|send|copy|paste|put|append|insert|repeat|reveal|output|print)\b[^.!?]{0,30}\b(?:system prompt|chain of thought)\b/,
    why: "asks for what the model was told, or thinks",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:list|names|descriptions|schemas|definitions) of (?:all |any |every )?(?:the )?(?:other |available |installed )?(?:mcp )?(?:tools|servers) (?:that )?(?:you have|available to you|you can|in your context|you know)\b/,
    why: "asks which other tools the model has",
    risk: "MEDIUM",
  },
  {
    kind: "exfiltration",
    pattern: new RegExp(
      `\\b(?:also|always|must|automatically|every|all|copy of|additionally|secretly|silently|first)\\b[^!?]{0,60}\\b(?:send|forward|post|upload|transmit|bcc|cc|redirect|report|copy|submit|leak|exfiltrate)\\b[^!?]{0,80}${ADDRESS}`,
    ),
    why: "wants data sent somewhere else",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern: new RegExp(
      `\\b(?:send|forward|upload|transmit|bcc|redirect|report|leak|exfiltrate|post) (?:all|every|any|the entire|the full|a copy|copies|the user's|their|its)\\b[^!?]{0,20}\\b${DATA}\\b[^!?]{0,60}${ADDRESS}`,
    ),
    why: "wants data sent somewhere else",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:webhook\.site|requestbin\.\w{2,4}|requestcatcher\.com|burpcollaborator\.net|interact\.sh|oast\.(?:pro|live|fun|me|site|online)|pipedream\.net|dnslog\.cn|beeceptor\.com)\b/,
    why: "names a place where anybody can collect what is sent there",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:include|append|attach|embed|prepend|pass|supply|send|put|add)\b[^.!?]{0,30}\b(?:any|all|every|other|stored|saved|known|the user's|user's|found|available)\b[^.!?]{0,20}\b(?:api[ _-]?keys?|access tokens?|auth(?:entication)? tokens?|passwords?|private keys?|ssh keys?|secrets|credentials)\b/,
    why: "asks for passwords or keys",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:environment variables|env vars|\.env(?: file)?)\b[^.!?]{0,40}\b(?:as|in|into|to) (?:the |this |a |an |its )?['"`\w ]{0,24}\b(?:parameter|argument|field|note|metadata|sidenote|context|query)\b/,
    why: "asks for the environment, where keys are",
    risk: "HIGH",
  },
  {
    kind: "exfiltration",
    pattern:
      /\b(?:pass|include|put|send|provide|place|insert) (?:its|their|those|these|that) (?:full |entire |whole |raw )?(?:contents?|data|text|output)\b[^.!?]{0,20}\b(?:as|in|into|to|through|via)\b/,
    why: "wants what was read elsewhere as an argument",
    risk: "HIGH",
  },
];

export const RULES: readonly Rule[] = [...INSTRUCTIONS, ...SHADOWING, ...EXFILTRATION];

/** Of arguments' names, folded and with a space between their words: models fill them in by themselves. */
export const NAME_RULES: readonly Rule[] = [
  {
    kind: "exfiltration",
    pattern:
      /^(?:(?:full|entire|previous|all|whole) )?(?:conversation|chat|message|dialogue?) (?:history|context|transcript|log)$|^(?:previous|prior|all|user) messages$|^system (?:prompt|message|instructions)$|^(?:model )?(?:chain of thought|internal reasoning|reasoning trace)$|^(?:available|all|other) tools(?: list)?$|^tools list$/,
    why: "is the name of something that models know and fill in by themselves, whatever the tool is for",
    risk: "MEDIUM",
  },
  {
    kind: "exfiltration",
    pattern: /\b(?:id rsa|ssh id|etc passwd|mcp json|aws credentials|env file contents?|from reading)\b/,
    why: "is the name of a file in which keys are",
    risk: "HIGH",
  },
];
