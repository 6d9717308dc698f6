import { expect, test } from 'vitest';
import { isSettled, itemsOf, type Item } from './items';
import { applyAgent, applyChat, newRun } from './run';
import { keyed, notYetIn, timeline, trimRuns, type Outgoing } from './timeline';

const AT = 1_000_000;

function outgoing(key: string, text: string, at: number): Outgoing {
  return { kind: 'user', id: key, key, why: key, text, at, delivery: { kind: 'sent' }, sessionKey: 's', triedAtMs: null };
}

function history(...messages: object[]): Item[] {
  return itemsOf({ sessionKey: 's', messages: messages as never });
}

const user = (text: string, timestamp: number, key?: string) => ({ role: 'user', content: [{ type: 'text', text }], timestamp, idempotencyKey: key });
const answer = (text: string, timestamp: number) => ({ role: 'assistant', content: [{ type: 'text', text }], stopReason: 'stop', timestamp });
const call = (id: string, timestamp: number) => ({ role: 'assistant', content: [{ type: 'toolCall', id, name: 'exec', arguments: {} }], stopReason: 'toolUse', timestamp });
const result = (id: string, text: string, timestamp: number) => ({ role: 'toolResult', toolCallId: id, toolName: 'exec', content: [{ type: 'text', text }], isError: false, timestamp });

test('a result stands with its call, and alone when the call is older than the window', () => {
  expect(history(call('a', AT), result('a', 'x', AT), result('b', 'y', AT))).toMatchObject([
    { kind: 'tool', id: 'a', state: 'done', output: 'x' },
    { kind: 'tool', id: 'b', state: 'done', output: 'y', args: null },
  ]);
});

test('a turn is settled by an answer and by nothing else', () => {
  expect([[answer('x', AT)], [user('x', AT)], [call('a', AT)], [result('a', 'x', AT)], []].map((m) => isSettled(m as never))).toEqual([
    true, false, false, false, true,
  ]);
});

test('a message is known by its key, or by its text where the transcript keeps no key', () => {
  const mine = [outgoing('k1', 'a', AT), outgoing('k2', 'b', AT), outgoing('k3', 'b', AT)];
  const left = notYetIn(history(user('A!', AT, 'k1'), user('b', AT + 1)), mine);
  expect(left.map((message) => message.key)).toEqual(['k3']);
});

test('the same words sent long ago are another message', () => {
  expect(notYetIn(history(user('hi', AT - 60_000)), [outgoing('k', 'hi', AT)])).toHaveLength(1);
});

test('an answer that the transcript does not keep stays where it happened', () => {
  const run = newRun('k', AT + 1);
  applyChat(run, { runId: 'k', sessionKey: 's', state: 'final', message: { role: 'assistant', content: 'status: fine' } }, AT + 9);
  const transcript = history(user('before', AT - 5_000), user('after', AT + 5_000));
  const runs = trimRuns(transcript, [run]);
  const shown = timeline(transcript, [outgoing('k', '/status', AT)], runs);
  expect(shown.map((item) => 'text' in item && item.text)).toEqual(['before', '/status', 'status: fine', 'after']);
});

test('a running turn shows each tool call once, after what is written down', () => {
  const run = newRun('k', AT);
  applyAgent(run, { runId: 'k', stream: 'tool', data: { phase: 'start', name: 'exec', toolCallId: 'a', args: {} } });
  applyChat(run, { runId: 'k', sessionKey: 's', state: 'delta', message: { role: 'assistant', content: 'so' } }, AT + 9);
  const transcript = history(user('go', AT), call('a', AT + 1));
  expect(timeline(transcript, [], trimRuns(transcript, [run])).map((item) => item.id)).toEqual(['h0', 'a', 'k.1']);
});

test('a tool call of the transcript ends when an event says so', () => {
  const run = newRun('k', AT + 60_000);
  applyAgent(run, { runId: 'k', stream: 'tool', data: { phase: 'result', name: 'exec', toolCallId: 'a', isError: false } });
  const transcript = history(call('a', AT));
  expect(timeline(transcript, [], [run])).toMatchObject([{ kind: 'tool', state: 'done', args: {} }]);
});

test('an id that a later turn uses again names another call', () => {
  const run = newRun('k', AT);
  applyAgent(run, { runId: 'k', stream: 'tool', data: { phase: 'start', name: 'exec', toolCallId: 'a', args: {} } });
  const transcript = history(call('a', AT - 60_000), result('a', 'x', AT - 60_000));
  const shown = timeline(transcript, [], trimRuns(transcript, [run]));
  expect(keyed(shown).map(({ key }) => key)).toEqual(['a', 'a (2)']);
});

test('a message can be asked about by its run, or by its name on its channel', () => {
  const block = (facts: object) => `Conversation info (untrusted metadata):\n\`\`\`json\n${JSON.stringify(facts)}\n\`\`\`\n\nhi`;
  const items = history(
    user('hi', AT, 'k1'),
    user(block({ message_id: 'k2', sender: 'cli' }), AT),
    user(block({ message_id: '7:5', channel: 'telegram' }), AT),
    user('hi', AT),
  );
  expect(items.map((item) => item.kind === 'user' && item.why)).toEqual(['k1', 'k2', 'telegram:7:5', null]);
});
