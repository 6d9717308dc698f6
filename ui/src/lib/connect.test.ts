import { expect, test } from 'vitest';
import { browserName, parseInvitation } from './auth';
import { explain, signedText } from './connect';
import { backoffMs, socketUrl } from './gateway';
import { parseFrame } from './protocol';

test('a device signs the fields of payload version 2 in their order', () => {
  expect(signedText('d', 't', { nonce: 'n', ts: 5 })).toBe(
    'v2|d|openclaw-control-ui|webchat|operator|operator.admin,operator.approvals,operator.pairing|5|t|n',
  );
});

// SEC-71
test('the socket is encrypted exactly when the page is', () => {
  expect(socketUrl({ protocol: 'http:', host: 'localhost:18789' })).toBe('ws://localhost:18789/');
  expect(socketUrl({ protocol: 'https:', host: 'claw.example' })).toBe('wss://claw.example/');
});

test('waits double from one second to thirty', () => {
  expect([0, 1, 2, 3, 4, 5, 50].map(backoffMs)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test.each([
  ['#code=AB-12', { kind: 'code', code: 'AB-12' }],
  ['#token=s%2Bx', { kind: 'token', token: 's+x' }],
  ['#code=', null],
  ['#section', null],
  ['', null],
])('the address %j invites as %j', (hash, expected) => {
  expect(parseInvitation(hash)).toEqual(expected);
});

test.each([
  ['unauthorized: device token mismatch (rotate/reissue device token)', true, false],
  ['unauthorized: too many failed authentication attempts (retry later)', false, true],
  ['pairing required', false, false],
  ['something new', false, false],
])('%s: forget the token %s, retry %s', (message, forgetToken, retry) => {
  expect(explain({ code: 'INVALID_REQUEST', message })).toMatchObject({ forgetToken, retry });
});

test.each(['', 'x', '[]', 'null', '{"type":"res"}', '{"type":"event","event":1}', '{"type":"req","id":"1"}'])(
  'no frame comes of %j',
  (text) => {
    expect(parseFrame(text)).toBeNull();
  },
);

test('a browser is named as people call it', () => {
  expect(browserName('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36')).toBe('Chrome on Linux');
  expect(browserName('curl')).toBe('Browser');
});
