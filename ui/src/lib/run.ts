// One run while it happens: events in, items out.

import type { AnswerItem, Item, ThinkingItem, ToolItem } from './items';
import { textOf, type AgentEvent, type ChatEvent } from './protocol';

export interface Run {
  id: string;
  /** When the page first heard of it, on the gateway's clock. */
  at: number;
  /** When the page last heard of it, on the page's clock. */
  heardAtMs: number;
  /** When it ended, on the gateway's clock; `null` while it runs. */
  endedAt: number | null;
  items: Item[];
  /** All text of the answer so far that stands before the newest tool call. */
  sealed: string;
  /** The newest text, which may be ahead of what `chat` events have shown. */
  ahead: string;
  /** The answer as the last event gave it. */
  finalText: string;
}

export function newRun(id: string, at: number): Run {
  return { id, at, heardAtMs: Date.now(), endedAt: null, items: [], sealed: '', ahead: '', finalText: '' };
}

/** Applies an `agent` event. */
export function applyAgent(run: Run, event: AgentEvent): void {
  const { stream, data } = event;
  if (stream === 'tool') applyTool(run, data);
  else if (stream === 'assistant' && typeof data.text === 'string') run.ahead = data.text;
  else if (stream === 'thinking' && typeof data.text === 'string') showThinking(run, data.text);
}

/** Applies a `chat` event that came at `now` on the gateway's clock. */
export function applyChat(run: Run, event: ChatEvent, now: number): void {
  const text = textOf(event.message);
  if (text) showText(run, text);
  if (event.state !== 'final' && event.state !== 'aborted' && event.state !== 'error') return;

  run.endedAt = now;
  run.finalText = text || run.items.map((item) => (item.kind === 'answer' ? item.text : '')).join('');
  const answer = run.items.findLast((item): item is AnswerItem => item.kind === 'answer');
  for (const item of run.items) if (item.kind === 'answer') item.live = false;
  if (event.state === 'error') {
    addNotice(run, 'error', event.errorMessage ?? 'The answer failed, and the gateway gave no reason.');
  } else if (event.state === 'aborted') {
    if (answer) answer.stopped = true;
    else addNotice(run, 'info', 'Stopped before there was an answer.');
  }
}

/** Whether the transcript that was loaded after the run's end shows all that the run showed. */
export function isIn(run: Run, transcript: Item[]): boolean {
  const since = transcript.filter((item) => item.at >= run.at - CLOCK_SLACK_MS);
  const notices = run.items.filter((item) => item.kind === 'notice');
  const answered = since
    .map((item) => (item.kind === 'answer' ? squeeze(item.text) : ''))
    .join('')
    .includes(squeeze(run.finalText));
  return answered && notices.every((notice) => since.some((item) => item.kind === 'notice' && item.text === notice.text));
}

/** How far the times of a run and of its transcript entries may lie apart, in milliseconds. */
export const CLOCK_SLACK_MS = 2_000;

function applyTool(run: Run, data: Record<string, unknown>): void {
  const id = String(data.toolCallId ?? '');
  if (data.phase === 'start') seal(run);
  const known = run.items.find((item): item is ToolItem => item.kind === 'tool' && item.id === id);
  const tool = known ?? newTool(run, id, String(data.name ?? 'tool'));
  if (data.args !== undefined) tool.args = data.args;
  const output = outputText(data.phase === 'result' ? data.result : data.partialResult);
  if (output !== null) tool.output = output;
  if (data.phase === 'result') tool.state = data.isError === true ? 'failed' : 'done';
}

function newTool(run: Run, id: string, name: string): ToolItem {
  run.items.push({ kind: 'tool', id, name, args: null, output: null, state: 'open', at: run.at });
  return run.items.at(-1) as ToolItem;
}

function outputText(result: unknown): string | null {
  if (result === undefined || result === null) return null;
  if (typeof result === 'string') return result;
  const text = textOf(result as never);
  return text || JSON.stringify(result, null, 2);
}

/** Ends the text before a tool call: what follows is a block of its own. */
function seal(run: Run): void {
  if (run.ahead) showText(run, run.ahead);
  const last = run.items.at(-1);
  if (last?.kind !== 'answer') return;
  last.live = false;
  run.sealed = run.ahead.length > last.text.length ? run.ahead : run.sealed + last.text;
  run.ahead = '';
}

/**
 * Shows the text so far. `text` counts from the beginning of the run or, from some gateways, from
 * the newest tool call; it may also be a late copy of what is sealed already.
 */
function showText(run: Run, text: string): void {
  const fresh = text.startsWith(run.sealed) ? text.slice(run.sealed.length) : text;
  if (!fresh.trim() || (run.sealed !== '' && run.sealed.endsWith(fresh))) return;
  const last = run.items.at(-1);
  if (last?.kind === 'answer') {
    last.text = fresh;
    return;
  }
  const id = `${run.id}.${run.items.length}`;
  run.items.push({ kind: 'answer', id, text: fresh, at: run.at, live: true, stopped: false });
}

function showThinking(run: Run, text: string): void {
  const last = run.items.findLast((item): item is ThinkingItem => item.kind === 'thinking');
  if (last && text.startsWith(last.text)) last.text = text;
  else run.items.push({ kind: 'thinking', id: `${run.id}.${run.items.length}`, text, at: run.at });
}

function addNotice(run: Run, tone: 'info' | 'error', text: string): void {
  run.items.push({ kind: 'notice', id: `${run.id}.${run.items.length}`, tone, text, at: run.at });
}

function squeeze(text: string): string {
  return text.replace(/\s+/g, '');
}
