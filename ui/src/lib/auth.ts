// How this browser gets in: an invitation in the address, a device token afterwards.

import type { Identity } from './device';

/** What the part of the address after `#` offers. */
export type Invitation = { kind: 'code'; code: string } | { kind: 'token'; token: string };

const TOKEN_KEY = 'rusty-claw.deviceToken';

/** The longest wait for the answer to a code, in milliseconds. */
const TRADE_WAIT_MS = 15_000;

export function parseInvitation(hash: string): Invitation | null {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const code = fields.get('code')?.trim();
  if (code) return { kind: 'code', code };
  const token = fields.get('token')?.trim();
  return token ? { kind: 'token', token } : null;
}

/** Takes the invitation out of the address bar, so that no history entry or bookmark keeps the secret. */
export function takeInvitation(): Invitation | null {
  const invitation = parseInvitation(location.hash);
  if (invitation) history.replaceState(null, '', location.pathname + location.search);
  return invitation;
}

/** The token that was kept for exactly this device. */
export function keptToken(identity: Identity): string | null {
  try {
    const kept = JSON.parse(localStorage.getItem(TOKEN_KEY) ?? 'null');
    return kept?.deviceId === identity.id && typeof kept.token === 'string' ? kept.token : null;
  } catch {
    return null;
  }
}

export function keepToken(identity: Identity, token: string): void {
  try {
    localStorage.setItem(TOKEN_KEY, JSON.stringify({ deviceId: identity.id, token }));
  } catch {
    // Where nothing may be stored, the next visit needs a new link.
  }
}

export function forgetToken(): void {
  localStorage.removeItem(TOKEN_KEY);
}

/** The gateway's own words for refusing a code. The code is spent or was never good. */
export class CodeRefused extends Error {}

/**
 * Trades a one-use code for a device token.
 *
 * Throws [`CodeRefused`] when the gateway said no; every other error means that the code may be tried again.
 */
export async function tradeCode(identity: Identity, code: string): Promise<string> {
  const answer = await fetch('/auth/code', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      code,
      deviceId: identity.id,
      publicKey: identity.publicKey,
      displayName: browserName(navigator.userAgent),
    }),
    signal: AbortSignal.timeout(TRADE_WAIT_MS),
  });
  const body = await answer.json().catch(() => null);
  if (answer.ok && typeof body?.deviceToken === 'string') return body.deviceToken;
  const reason = body?.error?.message ?? `the gateway answered with status ${answer.status}`;
  // 429 and 5xx say "later", not "no".
  if (answer.status === 429 || answer.status >= 500) throw new Error(reason);
  throw new CodeRefused(reason);
}

/** A name by which a person recognises this browser in a list of devices. */
export function browserName(userAgent: string): string {
  const find = (names: [RegExp, string][]) => names.find(([pattern]) => pattern.test(userAgent))?.[1];
  const browser = find([
    [/Edg\//, 'Edge'],
    [/Firefox\//, 'Firefox'],
    [/Chrom(e|ium)\//, 'Chrome'],
    [/Safari\//, 'Safari'],
  ]);
  const system = find([
    [/Android/, 'Android'],
    [/iPhone|iPad/, 'iOS'],
    [/Mac OS X/, 'macOS'],
    [/Windows/, 'Windows'],
    [/Linux/, 'Linux'],
  ]);
  return [browser ?? 'Browser', system].filter(Boolean).join(' on ');
}
