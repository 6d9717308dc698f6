// What the conversation shows, and how a transcript becomes it.

import { unwrap } from './envelope';
import { textOf, type Block, type History, type Message } from './protocol';

/** Why a message of this page is not part of the transcript yet. */
export type Delivery =
  | { kind: 'sending' }
  | { kind: 'sent' }
  | { kind: 'queued' }
  /** `refused`: the gateway did not take it. `unknown`: it may or may not have arrived. */
  | { kind: 'failed'; fate: 'refused' | 'unknown'; why: string };

export interface UserItem {
  kind: 'user';
  id: string;
  /** The idempotency key it was sent with, when known. */
  key: string | null;
  /** What the gateway can be asked about it by, when known. */
  why: string | null;
  text: string;
  at: number;
  /** `null` once it is in the transcript. */
  delivery: Delivery | null;
}

export interface AnswerItem {
  kind: 'answer';
  id: string;
  text: string;
  at: number;
  live: boolean;
  stopped: boolean;
}

export interface ThinkingItem {
  kind: 'thinking';
  id: string;
  text: string;
  at: number;
}

export interface ToolItem {
  kind: 'tool';
  id: string;
  name: string;
  args: unknown;
  /** `null` when the gateway did not say. */
  output: string | null;
  state: 'open' | 'done' | 'failed';
  at: number;
}

export interface NoticeItem {
  kind: 'notice';
  id: string;
  tone: 'info' | 'error';
  text: string;
  at: number;
}

export type Item = UserItem | AnswerItem | ThinkingItem | ToolItem | NoticeItem;

/** Longest tool text that is put on the page, in characters; the rest is named, not shown. */
const TOOL_CHARS_MAX = 20_000;

/** Turns the messages of `chat.history` into items, each result beside its call. */
export function itemsOf(history: History): Item[] {
  const items: Item[] = [];
  const open = new Map<string, ToolItem>();
  history.messages.forEach((message, index) => {
    const at = message.timestamp ?? items.at(-1)?.at ?? 0;
    const id = `h${index}`;
    switch (message.role) {
      case 'user':
        items.push(userItem(message, id, at));
        break;
      case 'assistant':
        for (const item of assistantItems(message, id, at)) {
          if (item.kind === 'tool') open.set(item.id, item);
          items.push(item);
        }
        break;
      case 'toolResult':
        closeTool(message, id, at, open, items);
        break;
      default: {
        const text = textOf(message).trim();
        if (text) items.push({ kind: 'notice', id, tone: 'info', text, at });
      }
    }
  });
  return items;
}

/** Whether the newest turn of a transcript has come to its end. */
export function isSettled(messages: Message[]): boolean {
  const last = messages.at(-1);
  return !last || (last.role === 'assistant' && last.stopReason !== 'toolUse');
}

/** Cuts a tool's text to what the page shows. */
export function shown(text: string): string {
  if (text.length <= TOOL_CHARS_MAX) return text;
  return `${text.slice(0, TOOL_CHARS_MAX)}\n… ${text.length - TOOL_CHARS_MAX} more characters`;
}

function userItem(message: Message, id: string, at: number): UserItem {
  const { text, messageId, channel } = unwrap(textOf(message));
  const named = channel && messageId ? `${channel}:${messageId}` : messageId;
  const images = blocks(message)
    .filter((block) => block.type === 'image')
    .map((image) => `[image${image.bytes ? `, ${Math.ceil(image.bytes / 1024)} KB` : ''}]`);
  return {
    kind: 'user',
    id,
    key: message.idempotencyKey ?? messageId,
    why: message.idempotencyKey ?? named,
    text: [text, ...images].filter(Boolean).join('\n'),
    at,
    delivery: null,
  };
}

function assistantItems(message: Message, id: string, at: number): Item[] {
  const stopped = message.stopReason === 'aborted' || message.openclawAbort !== undefined;
  const items: Item[] = [];
  blocks(message).forEach((block, index) => {
    const blockId = `${id}.${index}`;
    if (block.type === 'text' && block.text.trim()) {
      items.push({ kind: 'answer', id: blockId, text: block.text, at, live: false, stopped });
    } else if (block.type === 'thinking' && block.thinking?.trim()) {
      items.push({ kind: 'thinking', id: blockId, text: block.thinking, at });
    } else if (block.type === 'toolCall') {
      items.push({ kind: 'tool', id: block.id, name: block.name, args: block.arguments, output: null, state: 'open', at });
    }
  });
  if (message.stopReason === 'error') {
    const text = message.errorMessage ?? 'The answer failed.';
    items.push({ kind: 'notice', id: `${id}.error`, tone: 'error', text, at });
  }
  return items;
}

function closeTool(message: Message, id: string, at: number, open: Map<string, ToolItem>, items: Item[]): void {
  const output = textOf(message);
  const state = message.isError ? 'failed' : 'done';
  const call = message.toolCallId === undefined ? undefined : open.get(message.toolCallId);
  if (call) {
    Object.assign(call, { output, state });
  } else {
    // The window of the history begins between a call and its result.
    const name = message.toolName ?? 'tool';
    items.push({ kind: 'tool', id: message.toolCallId ?? id, name, args: null, output, state, at });
  }
}

function blocks(message: Message): Block[] {
  if (typeof message.content === 'string') return [{ type: 'text', text: message.content }];
  return Array.isArray(message.content) ? message.content : [];
}
