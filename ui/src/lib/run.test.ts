import { describe, expect, test } from 'vitest';
import type { Item } from './items';
import { applyAgent, applyChat, isIn, newRun, type Run } from './run';

const AT = 1_000_000;

function agent(run: Run, stream: string, data: Record<string, unknown>): void {
  applyAgent(run, { runId: run.id, stream, data });
}

function chat(run: Run, state: 'delta' | 'final' | 'aborted' | 'error', text?: string, errorMessage?: string): void {
  const message = text === undefined ? undefined : { role: 'assistant', content: [{ type: 'text' as const, text }] };
  applyChat(run, { runId: run.id, sessionKey: 's', state, message, errorMessage }, AT + 9);
}

/** Items in short: texts as they are, tools as `name:state`. */
function show(items: Item[]): string[] {
  return items.map((item) => (item.kind === 'tool' ? `${item.name}:${item.state}` : item.text));
}

describe('a run', () => {
  test('shows cumulative text as one growing answer', () => {
    const run = newRun('r', AT);
    chat(run, 'delta', 'Hel');
    chat(run, 'delta', 'Hello');
    chat(run, 'final', 'Hello!');
    expect(show(run.items)).toEqual(['Hello!']);
    expect(run.endedAt).toBe(AT + 9);
  });

  test.each([
    ['counts from the beginning of the run', 'I look. Found it.'],
    ['counts from the tool call', ' Found it.'],
  ])('puts a tool call between the texts around it when the text %s', (_, after) => {
    const run = newRun('r', AT);
    chat(run, 'delta', 'I lo');
    agent(run, 'assistant', { text: 'I look.' });
    agent(run, 'tool', { phase: 'start', name: 'exec', toolCallId: 't', args: {} });
    agent(run, 'tool', { phase: 'result', name: 'exec', toolCallId: 't', isError: true, result: 'no' });
    chat(run, 'delta', 'I look.');
    chat(run, 'delta', after);
    expect(show(run.items)).toEqual(['I look.', 'exec:failed', ' Found it.']);
  });

  test('says why it failed', () => {
    const run = newRun('r', AT);
    chat(run, 'error', undefined, 'the model is overloaded');
    expect(show(run.items)).toEqual(['the model is overloaded']);
  });

  test('marks the text that a stop cut off', () => {
    const run = newRun('r', AT);
    chat(run, 'aborted', 'half');
    expect(run.items).toMatchObject([{ kind: 'answer', text: 'half', stopped: true, live: false }]);
  });

  test('is in a transcript that has all its text since its beginning, and in no older one', () => {
    const run = newRun('r', AT);
    chat(run, 'final', 'One.\n\nTwo.');
    const answer = (text: string, at: number): Item => ({ kind: 'answer', id: `${at}${text}`, text, at, live: false, stopped: false });
    expect(isIn(run, [answer('One.', AT), answer('Two.', AT + 5)])).toBe(true);
    expect(isIn(run, [answer('One.\n\nTwo.', AT - 60_000)])).toBe(false);
    expect(isIn(run, [answer('One.', AT)])).toBe(false);
  });
});
