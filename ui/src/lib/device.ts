// This browser's identity: an Ed25519 key that never leaves it.

export interface Identity {
  /** Lower-case hex SHA-256 of the raw public key. */
  id: string;
  /** The 32 raw public bytes in base64url without padding. */
  publicKey: string;
  privateKey: CryptoKey;
}

/** Why this browser cannot hold an identity, in words for its user. */
export class NoIdentity extends Error {}

const DATABASE = 'rusty-claw';
const STORE = 'device';
const KEY = 'identity';

/**
 * Loads the identity, or makes it on the first visit.
 *
 * Throws [`NoIdentity`] when the browser cannot make or keep one.
 */
export async function loadIdentity(): Promise<Identity> {
  if (!globalThis.isSecureContext || !globalThis.crypto?.subtle) {
    throw new NoIdentity(
      'This browser keeps device keys only for pages on https:// or on localhost. ' +
        'Open the page through HTTPS, or forward the port (ssh -L 18789:127.0.0.1:18789 your-host) ' +
        'and open http://localhost:18789.',
    );
  }
  try {
    const database = await openDatabase();
    const kept = await readKept(database);
    return kept ?? (await keepFirst(database, await generate()));
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'NotSupportedError') {
      throw new NoIdentity(
        'This browser cannot make Ed25519 keys. Chrome 137, Firefox 129, Safari 17 and later can.',
      );
    }
    throw new NoIdentity(
      `This browser did not let the page keep its device key (${describe(cause)}). ` +
        'A private window or blocked site data can be the reason.',
    );
  }
}

/** Signs `text` with the device key; base64url without padding. */
export async function sign(identity: Identity, text: string): Promise<string> {
  const signature = await crypto.subtle.sign('Ed25519', identity.privateKey, new TextEncoder().encode(text));
  return base64url(new Uint8Array(signature));
}

async function generate(): Promise<Identity> {
  const pair = (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair;
  const raw = await crypto.subtle.exportKey('raw', pair.publicKey);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', raw));
  return {
    id: Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join(''),
    publicKey: base64url(new Uint8Array(raw)),
    privateKey: pair.privateKey,
  };
}

function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  return settled(opening);
}

async function readKept(database: IDBDatabase): Promise<Identity | undefined> {
  return settled(database.transaction(STORE).objectStore(STORE).get(KEY));
}

/** Stores `fresh` unless another tab was first: one transaction decides, and both tabs use its answer. */
async function keepFirst(database: IDBDatabase, fresh: Identity): Promise<Identity> {
  const store = database.transaction(STORE, 'readwrite').objectStore(STORE);
  const earlier: Identity | undefined = await settled(store.get(KEY));
  if (earlier) return earlier;
  await settled(store.put(fresh, KEY));
  return fresh;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

function describe(cause: unknown): string {
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
