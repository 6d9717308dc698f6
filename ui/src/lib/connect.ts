// What the page says first on a socket, and what a refusal means for its user.

import { version } from '../../package.json';
import { sign, type Identity } from './device';
import type { Challenge, ErrorShape } from './protocol';

const PROTOCOL = 3;
const CLIENT_ID = 'openclaw-control-ui';
const CLIENT_MODE = 'webchat';
const ROLE = 'operator';
const SCOPES = ['operator.admin', 'operator.approvals', 'operator.pairing'];

/** The text that a device signs (payload version 2). */
export function signedText(deviceId: string, token: string, challenge: Challenge): string {
  return ['v2', deviceId, CLIENT_ID, CLIENT_MODE, ROLE, SCOPES.join(','), challenge.ts, token, challenge.nonce].join('|');
}

/** The parameters of `connect`. The gateway's own clock dates the signature, so a wrong clock here does no harm. */
export async function connectParams(identity: Identity, token: string, challenge: Challenge): Promise<object> {
  return {
    minProtocol: PROTOCOL,
    maxProtocol: PROTOCOL,
    client: { id: CLIENT_ID, version, platform: 'web', mode: CLIENT_MODE },
    role: ROLE,
    scopes: SCOPES,
    caps: ['tool-events'],
    device: {
      id: identity.id,
      publicKey: identity.publicKey,
      signature: await sign(identity, signedText(identity.id, token, challenge)),
      signedAt: challenge.ts,
      nonce: challenge.nonce,
    },
    auth: { token },
    locale: navigator.language,
    userAgent: navigator.userAgent,
  };
}

export interface Refusal {
  /** What happened, for the user. */
  message: string;
  /** The token that was used is of no more use. */
  forgetToken: boolean;
  /** Trying again later, unchanged, may succeed. */
  retry: boolean;
}

/** Explains why the gateway refused `connect`. The patterns are protocol 3's fixed texts. */
export function explain(error: ErrorShape): Refusal {
  const text = error.message;
  const no = (message: string) => ({ message, forgetToken: false, retry: false });
  if (/too many failed/.test(text) || error.code === 'UNAVAILABLE') {
    return { message: text, forgetToken: false, retry: true };
  }
  if (/^unauthorized/.test(text)) {
    return { ...no('The gateway does not accept this browser’s token.'), forgetToken: true };
  }
  if (/pairing required|device identity required/.test(text)) {
    return no('This browser is not paired with the gateway yet.');
  }
  if (/origin not allowed/.test(text)) {
    return no(`The gateway accepts no page from ${location.origin}. Add it to gateway.controlUi.allowedOrigins.`);
  }
  if (/protocol mismatch/.test(text)) {
    return no('The gateway speaks another protocol version than this page. Reload the page.');
  }
  return no(`The gateway refused the connection: ${text}.`);
}
