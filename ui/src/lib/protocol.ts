// The frames of gateway protocol 3 that the page reads and writes.

export interface ErrorShape {
  code: string;
  message: string;
  details?: unknown;
}

export interface ResponseFrame {
  type: 'res';
  id: string;
  ok: boolean;
  payload?: unknown;
  error?: ErrorShape;
}

export interface EventFrame {
  type: 'event';
  event: string;
  payload?: unknown;
  seq?: number;
}

export interface Challenge {
  nonce: string;
  /** The gateway's clock, in milliseconds. */
  ts: number;
}

export interface Hello {
  server?: { version?: string };
  auth?: { deviceToken?: string };
  policy?: { tickIntervalMs?: number };
  snapshot?: { sessionDefaults?: { mainSessionKey?: string } };
}

export interface TextBlock {
  type: 'text';
  text: string;
}

export type Block =
  | TextBlock
  | { type: 'thinking'; thinking: string }
  | { type: 'toolCall'; id: string; name: string; arguments: unknown }
  | { type: 'image'; mimeType?: string; bytes?: number };

/** One entry of `chat.history`. */
export interface Message {
  role: string;
  content?: string | Block[];
  timestamp?: number;
  stopReason?: string;
  errorMessage?: string;
  idempotencyKey?: string;
  openclawAbort?: unknown;
  toolCallId?: string;
  toolName?: string;
  isError?: boolean;
}

export interface History {
  sessionKey: string;
  sessionId?: string;
  messages: Message[];
}

export interface ChatEvent {
  runId: string;
  sessionKey: string;
  state: 'delta' | 'final' | 'aborted' | 'error';
  message?: Message;
  errorMessage?: string;
}

export interface AgentEvent {
  runId: string;
  sessionKey?: string;
  stream: string;
  data: Record<string, unknown>;
}

export interface SessionRow {
  key: string;
  label?: string;
  displayName?: string;
  derivedTitle?: string;
}

/** One step of what became of a message. */
export interface Step {
  at: number;
  step: string;
  ok: boolean;
  rule?: string;
  detail: string;
}

/** What became of a message: the answer to `why`. */
export interface Story {
  id: string;
  steps: Step[];
}

/** Reads one frame; `null` when it is not one that a gateway sends. */
export function parseFrame(text: string): ResponseFrame | EventFrame | null {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof frame !== 'object' || frame === null) return null;
  const { type, id, event } = frame as Record<string, unknown>;
  if (type === 'res' && typeof id === 'string') return frame as ResponseFrame;
  if (type === 'event' && typeof event === 'string') return frame as EventFrame;
  return null;
}

/** All text of a message, its text blocks joined by a blank line. */
export function textOf(message: Message | undefined): string {
  const content = message?.content;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .filter((block): block is TextBlock => block.type === 'text' && typeof block.text === 'string')
    .map((block) => block.text)
    .join('\n\n');
}
