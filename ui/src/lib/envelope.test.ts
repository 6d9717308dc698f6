import { expect, test } from 'vitest';
import { unwrap } from './envelope';

const BLOCK = 'Conversation info (untrusted metadata):\n```json\n{\n  "message_id": "k-1",\n  "sender": "cli"\n}\n```\n\n';
const TELEGRAM = 'Conversation info (untrusted metadata):\n```json\n{\n  "message_id": "7:5",\n  "channel": "telegram"\n}\n```\n\n';
const STAMP = '[Sat 2026-11-21 09:18 UTC] ';

test.each([
  ['the block and the stamp come off', `${BLOCK}${STAMP}hi there`, { text: 'hi there', messageId: 'k-1', channel: null }],
  ['system lines before the block come off', `System: [t] wake\nSystem: [t] ping\n\n${BLOCK}${STAMP}hi`, { text: 'hi', messageId: 'k-1', channel: null }],
  ['a message of a channel names it', `${TELEGRAM}${STAMP}hi`, { text: 'hi', messageId: '7:5', channel: 'telegram' }],
  ['plain text stays', 'hi there', { text: 'hi there', messageId: null, channel: null }],
  ['a block further down belongs to the text', `see:\n${BLOCK}`, { text: `see:\n${BLOCK}`, messageId: null, channel: null }],
  ['system lines alone belong to the text', 'System: x\nhi', { text: 'System: x\nhi', messageId: null, channel: null }],
  ['a block that is not JSON comes off without an id', 'Conversation info (untrusted metadata):\n```json\n{\n```\n\nhi', { text: 'hi', messageId: null, channel: null }],
  ['other brackets stay', '[Sat] hi', { text: '[Sat] hi', messageId: null, channel: null }],
])('%s', (_, stored, expected) => {
  expect(unwrap(stored)).toEqual(expected);
});
