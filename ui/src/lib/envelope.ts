// What a person wrote, without the lines that the gateway put around it for the model.

export interface Said {
  text: string;
  /** The id of the message in the metadata block: the run's id, for messages of this page. */
  messageId: string | null;
  /** The channel that it came through; `null` for messages of gateway clients. */
  channel: string | null;
}

// Queued `System:` lines may stand before the block, never without it.
const BLOCK =
  /^(?:System: [^\n]*\n+)*Conversation info \(untrusted metadata\):\s*```json\n([\s\S]*?)\n```\s*/;
const STAMP = /^\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d{2}-\d{2} \d{2}:\d{2} [^\]\n]{1,40}\] ?/;

/** Takes the metadata block and the time stamp off, for display only. */
export function unwrap(stored: string): Said {
  const block = BLOCK.exec(stored);
  const rest = block ? stored.slice(block[0].length) : stored;
  const facts = block ? parse(block[1] ?? '') : null;
  const fact = (name: string) => (typeof facts?.[name] === 'string' ? (facts[name] as string) : null);
  return { text: rest.replace(STAMP, ''), messageId: fact('message_id'), channel: fact('channel') };
}

function parse(json: string): Record<string, unknown> | null {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
