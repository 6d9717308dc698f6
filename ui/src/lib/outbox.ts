// The messages that the gateway has not acknowledged: they survive a reload of the page.

import type { Outgoing } from './timeline';

/** Messages that may wait for the gateway at once; the composer refuses one more. */
export const OUTBOX_MAX = 50;

/**
 * How long after its first try a message is sent again by itself, in milliseconds. The gateway
 * knows an idempotency key for 5 minutes; later, a repeat could be a second message.
 */
export const RESEND_WINDOW_MS = 4 * 60_000;

const KEY = 'rusty-claw.outbox';

export function loadOutbox(): Outgoing[] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
    return Array.isArray(kept) ? kept.slice(0, OUTBOX_MAX) : [];
  } catch {
    return [];
  }
}

export function saveOutbox(outgoing: Outgoing[]): void {
  const waiting = outgoing.filter((message) => message.delivery.kind === 'sending' || message.delivery.kind === 'failed');
  try {
    if (waiting.length === 0) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify(waiting));
  } catch {
    // A full or forbidden storage costs only the survival of a reload.
  }
}
